/** The page's end of a machine's worker: calls that resolve, and the machine's events. */
import type { Calls, Push, Reply, Request } from '../model/protocol.ts';

export interface Remote {
  readonly calls: Calls;
  /** Ends the worker whatever it does; calls under way reject. */
  terminate(): void;
}

export function remote(onMessage: (message: Push) => void): Remote {
  const worker = new Worker(new URL('../worker/worker.ts', import.meta.url), {
    type: 'module',
    name: 'machine',
  });
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
