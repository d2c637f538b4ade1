/** The words that a machine's threads share: a doorbell, a hold, and for each thread a command, for each vCPU its state. */
import type { Ffi } from '../ffi.ts';

/** Checked by a thread whenever it is outside of the guest. */
export type Command = 'run' | 'pause' | 'stop';

const COMMANDS: readonly Command[] = ['run', 'pause', 'stop'];
const DOORBELL = 0;
/** How many holds there are: while it is not 0 no vCPU enters the guest. */
const HOLDS = 1;
const HEAD = 2;

/**
 * The signal that brings a thread out of its guest: SIGURG, which is ignored wherever it is not blocked, so a late one is
 * harmless.
 */
export const KICK = 23;
/** A kick can come between a thread's check and its entry: so it is repeated. */
const RETRY_MS = 5;

export class Control {
  readonly buffer: SharedArrayBuffer;
  readonly #words: Int32Array;
  readonly #commands: Int32Array;
  readonly #idle: Int32Array;
  readonly #inGuest: Int32Array;
  readonly #tids: Int32Array;

  /** Shared memory for a machine with `vcpus` processors and an I/O thread. */
  static allocate(vcpus: number): SharedArrayBuffer {
    return new SharedArrayBuffer((HEAD + 1 + 4 * vcpus) * 4);
  }

  constructor(buffer: SharedArrayBuffer) {
    this.buffer = buffer;
    this.#words = new Int32Array(buffer);
    const vcpus = (this.#words.length - HEAD - 1) / 4;
    const of = (index: number): Int32Array =>
      this.#words.subarray(HEAD + index * vcpus, HEAD + (index + 1) * vcpus);
    this.#idle = of(0);
    this.#inGuest = of(1);
    this.#tids = of(2);
    this.#commands = this.#words.subarray(HEAD + 3 * vcpus); // one more, for the I/O thread
  }

  /** The command of a thread: a vCPU's number, or the number of vCPUs for the I/O thread. */
  command(thread: number): Command {
    return COMMANDS[Atomics.load(this.#commands, thread)]!;
  }

  set(thread: number, command: Command): void {
    Atomics.store(this.#commands, thread, COMMANDS.indexOf(command));
    this.notify();
  }

  /** Stores the id of the thread that runs a vCPU. */
  setTid(vcpu: number, tid: number): void {
    Atomics.store(this.#tids, vcpu, tid);
  }

  /** Stores whether a vCPU is halted with interrupts off, or not started yet. */
  setIdle(vcpu: number, idle: boolean): void {
    Atomics.store(this.#idle, vcpu, idle ? 1 : 0);
  }

  allIdle(): boolean {
    return this.#idle.every((_, vcpu) => Atomics.load(this.#idle, vcpu) === 1);
  }

  /** Rings the doorbell, which wakes the I/O thread. */
  notify(): void {
    Atomics.add(this.#words, DOORBELL, 1);
    Atomics.notify(this.#words, DOORBELL);
  }

  /** How often the other end was notified. */
  notifications(): number {
    return Atomics.load(this.#words, DOORBELL);
  }

  /** Sleeps until there are more notifications than `seen`, at most `milliseconds`. */
  waitForNotification(seen: number, milliseconds: number): void {
    Atomics.wait(this.#words, DOORBELL, seen, milliseconds);
  }

  /** To be called before a vCPU enters the guest: waits while there is a hold, up to `milliseconds`; false where it lasts. */
  enter(vcpu: number, milliseconds: number): boolean {
    Atomics.store(this.#inGuest, vcpu, 1);
    const holds = Atomics.load(this.#words, HOLDS);
    if (holds === 0) return true;
    this.leave(vcpu);
    Atomics.wait(this.#words, HOLDS, holds, milliseconds);
    return false;
  }

  /** To be called when it is out of the guest. */
  leave(vcpu: number): void {
    Atomics.store(this.#inGuest, vcpu, 0);
    if (Atomics.load(this.#words, HOLDS) !== 0) Atomics.notify(this.#inGuest, vcpu);
  }

  /** Calls `action` while no vCPU is in the guest. Any thread may, a vCPU's while it is out of the guest. */
  whileStopped(sys: Ffi, action: () => void): void {
    Atomics.add(this.#words, HOLDS, 1);
    try {
      for (const vcpu of this.#inGuest.keys()) {
        while (Atomics.load(this.#inGuest, vcpu) === 1) {
          sys.tgkill(this.#tids[vcpu]!, KICK);
          Atomics.wait(this.#inGuest, vcpu, 1, RETRY_MS);
        }
      }
      action();
    } finally {
      Atomics.sub(this.#words, HOLDS, 1);
      Atomics.notify(this.#words, HOLDS);
    }
  }
}
