/** One thread of a machine, as the caller's thread has it: requests and replies, and its end. */
import { MachineError } from '../../cpu.ts';
import type { Message, Request, Task } from './task.ts';
import type { Lease } from './worker-pool.ts';

/** A layer's own code can hold its thread: after so many milliseconds the thread is ended by force. */
const SHUTDOWN_MS = 1000;

interface Waiting {
  resolve(value: unknown): void;
  reject(error: unknown): void;
}

export class MachineThread {
  readonly #lease: Lease;
  #reply: Waiting | undefined;
  #released!: () => void;
  readonly #release = new Promise<void>((resolve) => {
    this.#released = resolve;
  });

  /** `onMessage` gets all messages but replies; the end of a thread by itself is a failed end of its guest. */
  constructor(lease: Lease, onMessage: (message: Message) => void) {
    this.#lease = lease;
    lease.listen(
      (message) => {
        if (message.kind === 'reply') this.#take()?.resolve(message.value);
        else if (message.kind === 'refused') this.#take()?.reject(message.error);
        else if (message.kind === 'released') this.#released();
        else onMessage(message);
      },
      (cause) => {
        const detail = cause instanceof Error ? cause.message : "a vCPU's thread was ended";
        this.#take()?.reject(new MachineError(detail, { cause }));
        onMessage({ kind: 'ended', end: { reason: 'failed', detail, cause } });
        this.#released();
      },
    );
  }

  get tid(): number {
    return this.#lease.tid;
  }

  /** Builds the task's layer; resolves with its CPUID table, or `undefined` where it has no layer. */
  prepare(task: Task): Promise<unknown> {
    return this.request({ kind: 'prepare', task });
  }

  /** Sends a request that has a reply, and waits for that. */
  request(request: Request): Promise<unknown> {
    return new Promise((resolve, reject) => {
      this.#reply = { resolve, reject };
      this.#lease.post(request);
    });
  }

  run(): void {
    this.#lease.post({ kind: 'run' });
  }

  /** Waits until the thread uses nothing of the machine any more, and returns it to the pool. Its command has to be `stop`. */
  async release(): Promise<void> {
    this.#lease.post({ kind: 'release' });
    const late = setTimeout(() => this.#lease.destroy(), SHUTDOWN_MS);
    await this.#release;
    clearTimeout(late);
    this.#lease.release();
  }

  #take(): Waiting | undefined {
    const waiting = this.#reply;
    this.#reply = undefined;
    return waiting;
  }
}
