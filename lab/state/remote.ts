/** The page's end of a machine's worker: calls that resolve, and the machine's events. */
import wasm from 'v86/build/v86.wasm?url';
import { type Calls, type Given, OF_PAGE, type Push, type Reply, type Request } from '../model/protocol.ts';
import type { Settings } from '../model/settings.ts';

export interface Remote {
  readonly calls: Calls;
  /** Ends the worker whatever it does; calls under way reject. */
  terminate(): void;
}

/** A worker for the first machine, made before there is one. */
let prepared: Worker | undefined;

/** Starts a worker with v86, and fetches the module for it, since a worker takes its time to start. */
export function prepare(): void {
  const worker = workerNamed(OF_PAGE);
  prepared = worker;
  const give = (bytes: ArrayBuffer | undefined) =>
    worker.postMessage({ wasm: bytes } satisfies Given, bytes === undefined ? [] : [bytes]);
  fetch(wasm)
    .then((response) => (response.ok ? response.arrayBuffer() : undefined))
    .then(give, () => give(undefined));
  worker.onerror = (event) => {
    event.preventDefault();
    // The first machine gets another worker, which tells the error.
    if (prepared === worker) prepared = undefined;
  };
}

function workerFor(engine: Settings['engine']): Worker {
  const worker = prepared;
  prepared = undefined;
  if (worker !== undefined && engine === 'v86') return worker;
  worker?.terminate();
  return workerNamed(engine);
}

function workerNamed(name: Settings['engine'] | typeof OF_PAGE): Worker {
  return new Worker(new URL('../worker/early.ts', import.meta.url), { type: 'module', name });
}

export function remote(engine: Settings['engine'], onMessage: (message: Push) => void): Remote {
  const worker = workerFor(engine);
  const waiting = new Map<number, { resolve(value: unknown): void; reject(error: Error): void }>();
  let last = 0;
  const rejectAll = (message: string) => {
    for (const { reject } of waiting.values()) reject(new Error(message));
    waiting.clear();
  };
  worker.onmessage = ({ data }: MessageEvent<Push | Reply>) => {
    if ('push' in data) return onMessage(data);
    const call = waiting.get(data.id);
    waiting.delete(data.id);
    if ('error' in data) call?.reject(new Error(data.error));
    else call?.resolve(data.value);
  };
  worker.onerror = (event) => {
    event.preventDefault();
    const detail = event.message || 'its script could not be loaded';
    rejectAll(detail);
    onMessage({ push: 'ended', reason: 'failed', detail });
  };
  const calls = new Proxy({} as Calls, {
    get:
      (_, call: keyof Calls) =>
      (...args: readonly unknown[]) =>
        new Promise((resolve, reject) => {
          const id = ++last;
          waiting.set(id, { resolve, reject });
          worker.postMessage({ id, call, args } satisfies Request);
        }),
  });
  return {
    calls,
    terminate() {
      worker.terminate();
      rejectAll('the machine was stopped');
    },
  };
}
