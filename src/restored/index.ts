/**
 * For programs in a Linux guest that may be copied: notices that the machine was restored from a saved state, and seeds the
 * generators of this process anew. The kernel's generator is reseeded by CommonHV's driver or agent; this comes after it.
 *
 *   onRestored(() => reseed());
 *
 * For an unchanged program: `node --import commonhv/restored/auto program.js`. Needs Linux on x86-64 and koffi.
 * @module
 */
import { closeSync, openSync, readSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { rekey, rekeyMathRandom } from './rekey.ts';
import { currentView, type Look, type View } from './view.ts';

export { rekeyMathRandom } from './rekey.ts';

/**
 * The machine's generation: another value after each restore; `undefined` where neither driver nor agent is there. It costs
 * nanoseconds where koffi can map it: cheap enough before every draw.
 */
export function generation(): bigint | undefined {
  return currentView()?.look().generation;
}

export interface WatchOptions {
  /** Milliseconds between two looks, 1 to 60,000; 100 by default. */
  readonly interval?: number | undefined;
  /** Called with an error that `callback` threw or rejected with; by default it ends the process, as any uncaught one. */
  readonly onError?: ((error: unknown) => void) | undefined;
}

/**
 * Calls `callback` with the new generation after each restore, and returns a function that ends that. The timer does not keep
 * the process alive. Driver or agent may appear later: the first look at them is no restore.
 */
export function onRestored(
  callback: (generation: bigint) => unknown,
  { interval = 100, onError }: WatchOptions = {},
): () => void {
  if (!Number.isInteger(interval) || interval < 1 || interval > 60_000)
    throw new RangeError(`interval: expected 1 to 60000 milliseconds, got ${interval}`);
  let before = generation();
  const timer = setInterval(() => {
    const now = generation();
    const restored = before !== undefined && now !== undefined && now !== before;
    before = now;
    if (!restored) return;
    const failed = onError ?? rethrow;
    try {
      Promise.resolve(callback(now)).catch(failed);
    } catch (error) {
      failed(error);
    }
  }, interval);
  timer.unref();
  return () => clearInterval(timer);
}

function rethrow(error: unknown): void {
  setImmediate(() => {
    throw error;
  });
}

export interface ReseedOptions {
  /** Milliseconds to wait for the kernel's reseed; 2,000 by default. */
  readonly timeout?: number | undefined;
  /** Also gives `Math.random` a new seed; true by default. */
  readonly mathRandom?: boolean | undefined;
}

/**
 * Waits until the kernel has been reseeded for this generation, then seeds this process's generators anew. Values that were drawn
 * before are in every copy: keys, session tickets (`server.setTicketKeys`) and tokens have to be made again by the caller.
 * Rejects where neither driver nor agent is there, where the kernel was not reseeded in time, or without koffi.
 */
export async function reseed({ timeout = 2000, mathRandom = true }: ReseedOptions = {}): Promise<void> {
  const seen = currentView();
  if (seen === undefined)
    throw new Error(
      'neither /dev/commonhv nor /run/commonhv/generation is there: is the driver or the agent running?',
    );
  for (let look = await reseededLook(seen, timeout); ; look = await reseededLook(seen, timeout)) {
    rekey(ownBytes(look));
    if (mathRandom) rekeyMathRandom();
    const after = seen.look();
    // Restored meanwhile: the values that were just drawn may be another copy's too.
    if (after.generation === look.generation && after.reseeded) return;
  }
}

async function reseededLook(seen: View, timeout: number): Promise<Look> {
  const late = Date.now() + timeout;
  for (let look = seen.look(); ; look = seen.look()) {
    if (look.reseeded) return look;
    if (Date.now() >= late)
      throw new Error(`the kernel was not reseeded within ${timeout} ms (${seen.path})`);
    seen.ask?.();
    await sleep(1);
  }
}

/** Bytes that only this copy has: the generation, and the reseeded kernel's. */
function ownBytes({ generation }: Look): Uint8Array {
  const bytes = new Uint8Array(40);
  new DataView(bytes.buffer).setBigUint64(0, generation, true);
  const fd = openSync('/dev/urandom', 'r');
  try {
    readSync(fd, bytes, 8, 32, null);
  } finally {
    closeSync(fd);
  }
  return bytes;
}
