/** A saved machine: v86's own state, the registers that it leaves out, and the set-up of the machine to restore it into. */
import { MachineError, type SavedLayer } from '../../cpu.ts';
import type { Board, Setup } from './board.ts';

/** The format's number is its 14th character. */
const MAGIC = new TextEncoder().encode('commonhv v86 3\n\0'); // 16 bytes
const FORMAT = 13;
const HEADER = MAGIC.length + 4;

export interface Saved {
  readonly setup: Setup;
  /** Characters that were in the serial port's FIFO. */
  readonly input: readonly number[];
  /** The layer's part; `undefined` where the layer has none. */
  readonly layer: SavedLayer | undefined;
  /** v86's state. */
  readonly state: ArrayBuffer;
}

export async function saveState({ emulator, cpu }: Board, setup: Setup): Promise<Uint8Array> {
  // In one turn with v86's own save: no guest instruction runs between them.
  const input = [...emulator.v86.cpu.devices.uart0.input];
  const layer = cpu.saved?.() ?? null;
  const state = new Uint8Array(await emulator.save_state());
  const description = new TextEncoder().encode(JSON.stringify({ setup, input, layer, sum: sumOf(state) }));
  const saved = new Uint8Array(HEADER + description.length + state.length);
  saved.set(MAGIC);
  new DataView(saved.buffer).setUint32(MAGIC.length, description.length, true);
  saved.set(description, HEADER);
  saved.set(state, HEADER + description.length);
  return saved;
}

/** Throws a TypeError for bytes that `saveState` did not make, or that are cut off. */
export function readState(given: Uint8Array): Saved {
  const saved = bytesOf(given);
  const format = String.fromCharCode(saved[FORMAT] ?? 0);
  const mine = MAGIC.every((byte, i) => saved[i] === byte || i === FORMAT) && /\d/.test(format);
  if (saved.length < HEADER || !mine) {
    throw new TypeError('state: not a machine that was saved by this version of the v86 engine');
  }
  if (saved[FORMAT] !== MAGIC[FORMAT]) {
    throw new MachineError(
      `state: saved by another version of the v86 engine (format ${format}, not 3), which does not say which leaves its guest saw`,
      { code: 'refused' },
    );
  }
  const view = new DataView(saved.buffer, saved.byteOffset, saved.byteLength);
  const start = HEADER + view.getUint32(MAGIC.length, true);
  if (start + 16 > saved.length || view.getUint32(start + 8, true) !== saved.length - start) {
    throw new TypeError(`state: truncated or broken: it has ${saved.length} bytes`);
  }
  const state = new Uint8Array(saved.subarray(start)); // a copy: a Buffer's `slice` would share the memory of others
  const parsed = description(saved.subarray(HEADER, start));
  // Older files have no sum.
  if (parsed.sum !== undefined && parsed.sum !== sumOf(state))
    throw new TypeError('state: broken: its bytes are not those that were saved');
  return { ...parsed.saved, state: state.buffer };
}

/** Throws a TypeError or MachineError with one line where `resume` would refuse the bytes: before another machine ends for them. */
export function checkState(state: Uint8Array): void {
  readState(state);
}

function description(bytes: Uint8Array): { saved: Omit<Saved, 'state'>; sum: number | undefined } {
  try {
    const { setup, input, layer, sum } = JSON.parse(new TextDecoder().decode(bytes)) as Saved & {
      sum?: number;
    };
    const { memory, videoMemory, byInterrupt } = setup;
    const sizes = [memory, videoMemory];
    if (!sizes.every((size) => Number.isInteger(size) && size > 0 && size < 2 ** 31))
      throw new Error('sizes');
    if (!Array.isArray(input) || !input.every((byte) => byte >= 0 && byte <= 0xff)) throw new Error('input');
    if (layer !== null && typeof layer !== 'object') throw new Error('layer');
    const setupOf = { memory, videoMemory, byInterrupt: byInterrupt === true };
    return { saved: { setup: setupOf, input, layer: layer ?? undefined }, sum };
  } catch (cause) {
    throw new TypeError('state: broken: its description does not make sense', { cause });
  }
}

/** FNV-1a over 32-bit words: finds damage, not forgery. 18 MiB take 5 ms. */
function sumOf(bytes: Uint8Array): number {
  const words = new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length >>> 2);
  let sum = 0x811c_9dc5;
  for (const word of words) sum = Math.imul(sum ^ word, 0x0100_0193);
  for (const byte of bytes.subarray(4 * words.length)) sum = Math.imul(sum ^ byte, 0x0100_0193);
  return sum >>> 0;
}

/** Loads a state into a machine of the same sizes, then tells its layer. Its guest runs no instruction meanwhile. */
export async function restoreState({ emulator, cpu: guest }: Board, saved: Saved): Promise<void> {
  const { state, input, layer } = saved;
  const { cpu } = emulator.v86;
  const views = { last_result: cpu.last_result, fpu_status_word: cpu.fpu_status_word, mxcsr: cpu.mxcsr };
  try {
    await emulator.restore_state(state);
  } catch (cause) {
    // The parser quotes what it met, control characters and all.
    const why = (cause as Error).message.replace(/[^ -~]/g, '.');
    throw new TypeError(`state: v86 does not take it: ${why}`, { cause });
  }
  // v86 saves these three words and, instead of restoring them, replaces its views of them by the saved ones.
  for (const name of ['last_result', 'fpu_status_word', 'mxcsr'] as const) {
    if (cpu[name] === views[name]) continue;
    views[name].set(cpu[name]);
    cpu[name] = views[name] as never;
  }
  cpu.devices.uart0.input = [...input];
  guest.restored?.(layer);
}

/** Any view of bytes, as it lies in its buffer. */
function bytesOf(given: unknown): Uint8Array {
  if (given instanceof Uint8Array) return given;
  if (ArrayBuffer.isView(given)) return new Uint8Array(given.buffer, given.byteOffset, given.byteLength);
  if (given instanceof ArrayBuffer) return new Uint8Array(given);
  throw new TypeError('state: expected a Uint8Array');
}
