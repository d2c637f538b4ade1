/** Checks a source: each draw either fills every byte with plausible values, or returns the failure. */
import { health } from './health.ts';
import type { Source } from './source.ts';

/** Why a source is not to be used any more. */
export interface DrawFailure {
  /**
   * `promise`: it returned one, though values are needed at once; `short`: it filled too little; `slow`: a draw took more
   * than a second; `health`: a health test failed.
   */
  readonly reason: 'threw' | 'promise' | 'short' | 'slow' | 'health';
  /** One line for messages; it holds no random bytes. */
  readonly detail: string;
  /** With `threw`: the source's exception. */
  readonly cause?: unknown;
}

/**
 * Milliseconds that one draw may take. Nobody can interrupt a source that blocks its own thread, but it can be asked
 * only once; far above the delay of a good source on a busy machine.
 */
export const DRAW_TIMEOUT_MS = 1000;

/** Fills `bytes`, 16 or more, a multiple of 8, of which the first 8 are tested and not to be served. Once broken, the source may still hold `bytes`: use another buffer. */
export type Draw = (bytes: Uint8Array<ArrayBuffer>) => DrawFailure | undefined;

/** Deterministic sources are exempt from the health tests: failing them is their purpose. */
export function guard(source: Source): Draw {
  const tests = source.deterministic ? undefined : health();
  return (bytes) => {
    const length = bytes.length;
    bytes.fill(0); // bytes that a short source leaves out then show as zeros
    const start = performance.now();
    let returned: unknown;
    try {
      returned = source.fill(bytes);
    } catch (cause) {
      return { reason: 'threw', detail: `it threw ${oneLine(cause)}`, cause };
    }
    const took = performance.now() - start;
    const broken = checkReturn(returned, bytes, length);
    if (broken) return broken;
    if (took > DRAW_TIMEOUT_MS)
      return { reason: 'slow', detail: `it took ${Math.round(took)} ms, not ${DRAW_TIMEOUT_MS} at most` };
    const failed = tests?.check(bytes);
    return failed === undefined
      ? undefined
      : { reason: 'health', detail: `it failed a health test: ${failed}` };
  };
}

function checkReturn(returned: unknown, bytes: Uint8Array, length: number): DrawFailure | undefined {
  // Sources written in a hurry return the array, a count, or a promise; the type says nothing at all.
  if (typeof (returned as PromiseLike<unknown> | undefined)?.then === 'function') {
    Promise.resolve(returned).catch(() => {}); // its rejection has been answered: here
    return { reason: 'promise', detail: 'it returned a promise, where values are needed at once' };
  }
  if (bytes.length !== length) return { reason: 'short', detail: 'it took the buffer away' };
  const count =
    typeof returned === 'number' ? returned : ((returned as Uint8Array | undefined)?.byteLength ?? length);
  if (count !== length) return { reason: 'short', detail: `it gave ${count} of ${length} bytes` };
  return undefined;
}

function oneLine(cause: unknown): string {
  const text = cause instanceof Error ? `${cause.name}: ${cause.message}` : String(cause);
  return text.split('\n', 1)[0]!;
}
