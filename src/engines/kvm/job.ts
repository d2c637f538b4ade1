/** What the caller's thread and a worker tell each other: the work that is given, and what is heard of it. */
import type { End, LayerModule } from '../../cpu.ts';
import type { CpuidDump } from '../../cpuid-dump.ts';
import type { Command, VcpuHandle } from './vcpu.ts';

/**
 * The signal that brings a thread out of its guest: SIGURG, which is ignored wherever it is not blocked, so that one that
 * comes late harms nobody.
 */
export const KICK = 23;
/** Every so many milliseconds a thread comes out of its guest by itself, and looks around. */
export const TICK = 50;

/** Both directions of a serial line: `ringBuffer`s. */
export interface LineBuffers {
  readonly out: SharedArrayBuffer;
  readonly in: SharedArrayBuffer;
}

/** One thread's part of a machine. */
export interface Job {
  readonly vm: number;
  readonly vcpus: readonly VcpuHandle[];
  /** The vCPU that this thread runs; `undefined` for the machine's home, which answers the others. */
  readonly vcpu: number | undefined;
  readonly interrupts: boolean;
  /** The serial line whose UART is here. */
  readonly line: LineBuffers | undefined;
  /** The layer to build here, and the table of the processor below it. */
  readonly layer: { readonly of: Omit<LayerModule, 'onEvent'>; readonly below: CpuidDump } | undefined;
  /** The mailbox for what is not answered here. */
  readonly up: SharedArrayBuffer | undefined;
  /** Whether whoever reads that mailbox is another worker, woken by the bell, or the caller's thread, by a message. */
  readonly upIsHome: boolean;
  /** The mailboxes that are answered here. */
  readonly boxes: readonly SharedArrayBuffer[];
  readonly control: SharedArrayBuffer;
}

/** What a worker says. */
export type Report =
  | { readonly kind: 'ready'; readonly tid: number }
  /** The layer is there and the tables are installed. */
  | { readonly kind: 'built' }
  /** It could not be; nothing has run. */
  | { readonly kind: 'refused'; readonly error: unknown }
  /** What the layer tells. */
  | { readonly kind: 'event'; readonly event: unknown }
  | { readonly kind: 'output' | 'room' | 'ask' | 'paused' }
  /** The guest, or this vCPU of it, has come to an end. */
  | { readonly kind: 'ended'; readonly end: End }
  /** The job is over: its thread is out of the guest and uses nothing of the machine any more. */
  | { readonly kind: 'done' };

const COMMANDS: readonly Command[] = ['run', 'pause', 'stop'];
const BELL = 0;
const FIRST = 1;

/** The words that a machine's threads share: a bell, a command for each vCPU and the home, and which vCPUs are idle. */
export interface Control {
  /** `thread`: a vCPU's number, or the number of vCPUs for the home. */
  command(thread: number): Command;
  set(thread: number, command: Command): void;
  /**
   * Calls `report` and sleeps until a command is given again, be it the same one; does neither where the command is
   * another by now.
   */
  awaitNext(thread: number, command: Command, report: () => void): void;
  /** Whether a vCPU can go on by itself, as its thread last saw it; and whether none can. */
  setIdle(vcpu: number, idle: boolean): void;
  allIdle(): boolean;
  ring(): void;
  /** How often the bell was rung. */
  rung(): number;
  /** Sleeps until the bell is rung, once more than `seen`, at most so many milliseconds. */
  awaitRing(seen: number, milliseconds: number): void;
}

export function controlBuffer(vcpus: number): SharedArrayBuffer {
  return new SharedArrayBuffer((FIRST + 2 * vcpus + 1) * 4);
}

export function control(buffer: SharedArrayBuffer): Control {
  const words = new Int32Array(buffer);
  const vcpus = (words.length - FIRST - 1) / 2;
  const idle = words.subarray(FIRST + vcpus + 1);
  // No two commands are one word: who sleeps on one wakes at the next, though it be the same again.
  let given = 0;
  const commandOf = (word: number): Command => COMMANDS[word % COMMANDS.length]!;
  const ring = (): void => {
    Atomics.add(words, BELL, 1);
    Atomics.notify(words, BELL);
  };
  return {
    command: (thread) => commandOf(Atomics.load(words, FIRST + thread)),
    set(thread, command) {
      given++;
      Atomics.store(words, FIRST + thread, given * COMMANDS.length + COMMANDS.indexOf(command));
      Atomics.notify(words, FIRST + thread);
      ring();
    },
    awaitNext(thread, command, report) {
      const word = Atomics.load(words, FIRST + thread);
      if (commandOf(word) !== command) return;
      report();
      Atomics.wait(words, FIRST + thread, word);
    },
    setIdle: (vcpu, is) => void Atomics.store(idle, vcpu, is ? 1 : 0),
    allIdle: () => idle.every((_, vcpu) => Atomics.load(idle, vcpu) === 1),
    ring,
    rung: () => Atomics.load(words, BELL),
    awaitRing: (seen, milliseconds) => void Atomics.wait(words, BELL, seen, milliseconds),
  };
}
