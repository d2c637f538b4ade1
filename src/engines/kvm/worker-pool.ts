/** The worker threads, kept for the next machine: koffi leaves mappings behind in every thread that ever used it. */
import { Worker } from 'node:worker_threads';
import { MachineError } from '../../cpu.ts';
import type { Message, Request } from './task.ts';

/** Idle workers kept; more than these are ended. */
const MAX_IDLE = 8;

interface PooledWorker {
  readonly worker: Worker;
  readonly tid: number;
}

const idle: PooledWorker[] = [];

/** A worker that one machine has for itself. */
export class Lease {
  readonly #pooled: PooledWorker;
  #alive = true;

  constructor(pooled: PooledWorker) {
    this.#pooled = pooled;
    removeListeners(pooled.worker);
    pooled.worker.ref();
  }

  /** The id of its thread. */
  get tid(): number {
    return this.#pooled.tid;
  }

  /** Sets the listeners: one for its messages, one for the end of the thread by itself or by `destroy`. */
  listen(onMessage: (message: Message) => void, onExit: (cause: unknown) => void): void {
    const { worker } = this.#pooled;
    let cause: unknown;
    worker.on('message', onMessage);
    worker.on('error', (error) => {
      cause = error;
    });
    worker.on('exit', () => {
      this.#alive = false;
      onExit(cause);
    });
  }

  post(request: Request): void {
    this.#pooled.worker.postMessage(request);
  }

  /** Returns the worker to the pool, unless it was ended. */
  release(): void {
    if (this.#alive) returnToPool(this.#pooled);
  }

  /** Ends a thread that does not react, wherever it is. */
  destroy(): void {
    void this.#pooled.worker.terminate();
  }
}

/** Takes a worker from the pool, or starts one. */
export async function acquire(): Promise<Lease> {
  return new Lease(idle.pop() ?? (await startWorker()));
}

/** By name: Node has listeners of its own on a worker. */
function removeListeners(worker: Worker): void {
  for (const event of ['message', 'error', 'exit']) worker.removeAllListeners(event);
}

function returnToPool(pooled: PooledWorker): void {
  const { worker } = pooled;
  removeListeners(worker);
  if (idle.length >= MAX_IDLE) {
    void worker.terminate();
    return;
  }
  // One that ends while it is idle is not handed out any more.
  worker.once('error', () => {});
  worker.once('exit', () => {
    const at = idle.indexOf(pooled);
    if (at >= 0) idle.splice(at, 1);
  });
  worker.unref();
  idle.push(pooled);
}

function startWorker(): Promise<PooledWorker> {
  // By the package's own name: the command line is bundled into files that lie elsewhere.
  const worker = new Worker(new URL(import.meta.resolve('commonhv/engines/kvm/worker')));
  return new Promise((resolve, reject) => {
    worker.once('message', (message: Message) => {
      if (message.kind === 'ready') resolve({ worker, tid: message.tid });
      else reject(new MachineError(`a vCPU's thread began with ${message.kind}`));
    });
    worker.once('error', (cause) => {
      reject(new MachineError(`a vCPU's thread could not start: ${cause.message}`, { cause }));
    });
    worker.once('exit', () => reject(new MachineError("a vCPU's thread ended at once")));
  });
}
