/** A saved machine as a file: the lab's part of it as JSON, then the engine's state. */
import { faultyNames } from './faulty.ts';
import type { Saved } from './protocol.ts';
import { fromFragment, type Settings, toFragment } from './settings.ts';

export interface SavedMachine {
  readonly saved: Saved;
  /** The settings that it was saved under, which its copies get. */
  readonly settings: Settings;
}

const MAGIC = new TextEncoder().encode('commonhv lab 1\n\0'); // 16 bytes
const HEADER = MAGIC.length + 4;
const MAX_DESCRIPTION = 64 * 1024;

export function isState(bytes: Uint8Array): boolean {
  return MAGIC.every((byte, i) => bytes[i] === byte);
}

export function writeStateFile({ saved, settings }: SavedMachine): Blob {
  const { draws, generation, probe, state } = saved;
  const description = new TextEncoder().encode(
    JSON.stringify({
      settings: toFragment(settings),
      probe,
      generation: generation?.toString(16),
      draws: draws && { ...draws, key: [...draws.key], generation: draws.generation?.toString(16) },
    }),
  );
  const size = new Uint8Array(4);
  new DataView(size.buffer).setUint32(0, description.length, true);
  return new Blob([MAGIC, size, description, state as Uint8Array<ArrayBuffer>]);
}

/** Throws an Error with one line for a file that `writeStateFile` did not make, or that is cut off. */
export function readStateFile(bytes: Uint8Array): SavedMachine {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const length = bytes.length < HEADER ? Number.POSITIVE_INFINITY : view.getUint32(MAGIC.length, true);
  const start = HEADER + length;
  if (!isState(bytes) || length > MAX_DESCRIPTION || start >= bytes.length)
    throw new Error('not a machine that the lab saved, or cut off');
  try {
    const description = JSON.parse(new TextDecoder().decode(bytes.subarray(HEADER, start))) as Description;
    return described(description, bytes.slice(start));
  } catch {
    throw new Error('a machine that the lab saved, but its description is broken');
  }
}

/** Of unknown origin, so every part is checked. */
interface Description {
  readonly settings: unknown;
  readonly probe: unknown;
  readonly generation?: unknown;
  readonly draws?: Readonly<Record<'key' | 'counter' | 'generation', unknown>>;
}

function described({ settings, probe, generation, draws }: Description, state: Uint8Array): SavedMachine {
  const reading = fromFragment(String(settings), faultyNames);
  if (reading.problems.length > 0) throw new TypeError(reading.problems[0]);
  const value = (hex: unknown) => (typeof hex === 'string' ? BigInt(`0x${hex}`) : undefined);
  const numbers = Array.isArray(draws?.key) ? draws.key.map(Number) : [];
  if (draws !== undefined && numbers.length !== 8) throw new TypeError('key');
  return {
    settings: reading.settings,
    saved: {
      state,
      probe: probe === true,
      generation: value(generation),
      draws: draws && {
        key: Uint32Array.from(numbers),
        counter: Number(draws.counter) >>> 0,
        generation: value(draws.generation),
      },
    },
  };
}
