/** The page's end of a machine's worker: calls that resolve, and the machine's events. */
import wasm from 'virtual:v86';
import type { Calls, Given, Push, Reply, Request } from '../model/protocol.ts';
import type { Settings } from '../model/settings.ts';

export interface Remote {
  readonly calls: Calls;
  /** Ends the worker whatever it does; calls under way reject. */
  terminate(): void;
}

/** v86, compiled once for all workers. */
let compiled: Promise<WebAssembly.Module> | undefined;

/** A worker for the first machine, made before there is one. */
let prepared: Worker | undefined;

/** Fetches v86 and starts a worker for it: each takes its time. Where that fails, the first machine tries again, and tells why. */
export function prepare(): void {
  try {
    const worker = workerFor('v86');
    worker.onerror = () => {
      if (prepared === worker) prepared = undefined;
    };
    prepared = worker;
  } catch {}
}

function workerFor(engine: Settings['engine']): Worker {
  const worker = new Worker(new URL('../worker/worker.ts', import.meta.url), {
    type: 'module',
    name: engine,
  });
  if (engine === 'v86') {
    module().then(
      (module) => worker.postMessage({ module } satisfies Given),
      (error: Error) => worker.postMessage({ failed: error.message } satisfies Given),
    );
  }
  return worker;
}

function module(): Promise<WebAssembly.Module> {
  compiled ??= compile().catch((error) => {
    compiled = undefined; // a failed load may succeed next time
    throw error;
  });
  return compiled;
}

/** Compiles the module while it arrives. */
async function compile(): Promise<WebAssembly.Module> {
  const response = await fetch(wasm).catch((error: Error) => {
    throw new Error(`v86 could not be loaded (${error.message}): ${SERVED}`);
  });
  if (!response.ok) throw new Error(`v86 could not be loaded (status ${response.status}): ${SERVED}`);
  // Some servers do not know the type.
  return response.headers.get('Content-Type') === 'application/wasm'
    ? WebAssembly.compileStreaming(response)
    : WebAssembly.compile(await response.arrayBuffer());
}

const SERVED = 'see that the lab is still served, and reload the page';

/** The worker of a machine. Where the browser makes none, each call rejects with an Error that says why. */
export function remote(engine: Settings['engine'], onMessage: (message: Push) => void): Remote {
  try {
    const worker = (engine === 'v86' && prepared) || workerFor(engine);
    prepared = undefined;
    return connected(worker, onMessage);
  } catch (error) {
    const why = `the browser makes no worker for the machine (${(error as Error).message}): open the lab in a window of its own, from a web server such as commonhv lab`;
    const refused = () => Promise.reject(new Error(why));
    return { calls: new Proxy({} as Calls, { get: () => refused }), terminate() {} };
  }
}

function connected(worker: Worker, onMessage: (message: Push) => void): Remote {
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
    const detail = event.message
      ? `the machine’s worker failed: ${event.message}`
      : `the machine’s worker could not be loaded: ${SERVED}`;
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
