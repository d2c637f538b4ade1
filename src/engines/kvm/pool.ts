/** The worker threads, kept for the next machine: koffi leaves mappings behind in every thread that ever used it. */
import { Worker } from 'node:worker_threads';
import { MachineError } from '../../cpu.ts';
import type { Job, Report } from './job.ts';

/** Workers that wait for a next machine; more than these are ended. */
const MOST_IDLE = 8;

/** What is left of a worker's reports for whoever gave it a job. */
export type News = Extract<Report, { kind: 'event' | 'output' | 'room' | 'ask' | 'paused' | 'ended' }>;

/** A job under way. */
export interface Work {
  /** Resolves when the layer that lives there is built; rejects with what refused it, after which nothing runs. */
  readonly built: Promise<void>;
  /** Resolves when the thread has let go of the machine, in whatever way; never rejects. */
  readonly done: Promise<void>;
}

/** A worker that has been taken, until it is given back. */
export interface Hand {
  /** The id of its thread. */
  readonly tid: number;
  /** Gives it a job. Should its thread die of itself, that is heard as a failed end. */
  start(job: Job, hear: (news: News) => void): Work;
  /** Gives it back when its work is done; one that was ended by force is not used again. */
  release(): void;
  /** Ends a thread that does not come back by itself, whatever it is at. */
  destroy(): void;
}

interface Idle {
  readonly worker: Worker;
  readonly tid: number;
}

const idle: Idle[] = [];

/** Takes a worker from the pool, or makes one. */
export async function hire(): Promise<Hand> {
  const taken = idle.pop() ?? (await make());
  const { worker, tid } = taken;
  let alive = true;
  silence(worker);
  worker.ref();
  return {
    tid,
    start(job, hear) {
      let done!: () => void;
      const work = {
        built: new Promise<void>((resolve, reject) => {
          worker.on('message', (report: Report) => {
            if (report.kind === 'built') resolve();
            else if (report.kind === 'refused') reject(report.error);
            else if (report.kind === 'done') done();
            else if (report.kind !== 'ready') hear(report);
          });
          worker.on('error', (cause) => {
            hear({ kind: 'ended', end: { reason: 'failed', detail: cause.message, cause } });
          });
          worker.on('exit', () => {
            alive = false;
            reject(new MachineError("a vCPU's thread was ended"));
            hear({ kind: 'ended', end: { reason: 'failed', detail: "a vCPU's thread was ended" } });
            done();
          });
        }),
        done: new Promise<void>((resolve) => {
          done = resolve;
        }),
      };
      work.built.catch(() => {}); // heard by whoever awaits it; nobody has to
      worker.postMessage(job);
      return work;
    },
    release() {
      if (alive) putBack(taken);
    },
    destroy: () => void worker.terminate(),
  };
}

/** By name: Node has listeners of its own on a worker. */
function silence(worker: Worker): void {
  for (const event of ['message', 'error', 'exit']) worker.removeAllListeners(event);
}

function putBack(free: Idle): void {
  const { worker } = free;
  silence(worker);
  if (idle.length >= MOST_IDLE) {
    void worker.terminate();
    return;
  }
  // One that dies while it waits is not handed out any more.
  worker.once('error', () => {});
  worker.once('exit', () => {
    const at = idle.indexOf(free);
    if (at >= 0) idle.splice(at, 1);
  });
  worker.unref();
  idle.push(free);
}

function make(): Promise<Idle> {
  // By the package's own name: the command line is bundled into files that lie elsewhere.
  const worker = new Worker(new URL(import.meta.resolve('commonhv/engines/kvm/worker')));
  return new Promise((resolve, reject) => {
    worker.once('message', (report: Report) => {
      if (report.kind === 'ready') resolve({ worker, tid: report.tid });
      else reject(new MachineError(`a vCPU's thread began with ${report.kind}`));
    });
    worker.once('error', (cause) => {
      reject(new MachineError(`a vCPU's thread could not start: ${cause.message}`, { cause }));
    });
    worker.once('exit', () => reject(new MachineError("a vCPU's thread ended at once")));
  });
}
