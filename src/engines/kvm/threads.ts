/** The threads of a machine: one for each vCPU, and an I/O thread where the vCPUs share a layer or devices. */
import type { End } from '../../cpu.ts';
import { MachineError } from '../../cpu.ts';
import { type Control, KICK } from './control.ts';
import type { Message, Request, Task } from './task.ts';
import { MachineThread } from './thread.ts';
import type { Vm } from './vm.ts';
import type { Lease } from './worker-pool.ts';

export interface ThreadsOptions {
  readonly control: Control;
  readonly vm: Vm;
  /** As many as there are vCPUs, and one more for an I/O thread. */
  readonly leases: readonly Lease[];
  /** Called with all messages but replies. */
  readonly onMessage: (thread: number, message: Message) => void;
}

export class Threads {
  readonly control: Control;
  /** The thread with the layer, where that is a module, and with the devices: the I/O thread, or the only vCPU's. */
  readonly owner: number;
  /** The vCPUs that have not ended. */
  readonly running: Set<number>;
  readonly #vm: Vm;
  readonly #threads: readonly MachineThread[];
  readonly #hasIoThread: boolean;
  /** The threads that have left their run. */
  readonly #parked = new Set<number>();
  #onParked: (() => void) | undefined;

  constructor({ control, vm, leases, onMessage }: ThreadsOptions) {
    const { length } = vm.vcpus;
    this.#vm = vm;
    this.#hasIoThread = leases.length > length;
    this.owner = this.#hasIoThread ? length : 0;
    this.running = new Set(vm.vcpus.keys());
    this.control = control;
    this.#threads = leases.map(
      (lease, thread) => new MachineThread(lease, (message) => onMessage(thread, message)),
    );
  }

  get hasIoThread(): boolean {
    return this.#hasIoThread;
  }

  /** Has every thread prepare its task; resolves with the owner's reply. */
  async prepare(tasks: readonly Task[]): Promise<unknown> {
    const replies = await Promise.all(this.#threads.map((thread, i) => thread.prepare(tasks[i]!)));
    return replies[this.owner];
  }

  /** Sends a request to the owner thread, which has to be out of its run. */
  request(request: Request): Promise<unknown> {
    return this.#threads[this.owner]!.request(request);
  }

  /** Lets the I/O thread and all vCPUs that have not ended run. */
  run(): void {
    for (const [i, thread] of this.#threads.entries()) {
      if (i < this.#vm.vcpus.length && !this.running.has(i)) continue;
      this.#parked.delete(i);
      this.control.set(i, 'run');
      thread.run();
    }
  }

  /** A thread has left its run. */
  park(thread: number): void {
    this.#parked.add(thread);
    this.#onParked?.();
  }

  /** Stops the vCPUs, each between two instructions, then the I/O thread, which they may be waiting for. */
  async pause(ended: Promise<End>): Promise<void> {
    await this.#stop([...this.running], ended);
    if (this.#hasIoThread) await this.#stop([this.owner], ended);
  }

  /** Brings all vCPUs out of the guest. */
  kick(): void {
    for (const thread of this.running) this.#vm.system.sys.tgkill(this.#threads[thread]!.tid, KICK);
  }

  /** Brings every thread out of the machine. */
  async release(): Promise<void> {
    for (const thread of this.#threads.keys()) this.control.set(thread, 'stop');
    this.kick();
    await Promise.all(this.#threads.map((thread) => thread.release()));
  }

  async #stop(threads: readonly number[], ended: Promise<End>): Promise<void> {
    for (const thread of threads) this.control.set(thread, 'pause');
    this.kick();
    const parked = new Promise<undefined>((resolve) => {
      this.#onParked = () => {
        if (threads.every((thread) => this.#parked.has(thread))) resolve(undefined);
      };
      this.#onParked();
    });
    const end = await Promise.race([parked, ended]);
    if (end !== undefined) throw endedError(end);
  }
}

/** For an operation on a machine that has ended. */
export const endedError = ({ reason }: End): MachineError =>
  new MachineError(`the machine has ended: ${reason}`, { code: 'ended' });
