/** A saved machine: v86's own state, the registers that it leaves out, and the set-up of the machine to restore it into. */
import type { Setup } from './board.ts';
import type { Emulator } from './library.ts';

const MAGIC = new TextEncoder().encode('commonhv v86 2\n\0'); // 16 bytes
const HEADER = MAGIC.length + 4;

export interface Saved {
  readonly setup: Setup;
  /** Characters that were in the serial port's FIFO. */
  readonly input: readonly number[];
  /** v86's state. */
  readonly state: ArrayBuffer;
}

export async function saveState(emulator: Emulator, setup: Setup): Promise<Uint8Array> {
  const { input } = emulator.v86.cpu.devices.uart0;
  const description = new TextEncoder().encode(JSON.stringify({ setup, input }));
  const state = new Uint8Array(await emulator.save_state());
  const saved = new Uint8Array(HEADER + description.length + state.length);
  saved.set(MAGIC);
  new DataView(saved.buffer).setUint32(MAGIC.length, description.length, true);
  saved.set(description, HEADER);
  saved.set(state, HEADER + description.length);
  return saved;
}

/** Throws a TypeError for bytes that `saveState` did not make, or that are cut off. */
export function readState(saved: Uint8Array): Saved {
  if (!(saved instanceof Uint8Array)) throw new TypeError('state: expected a Uint8Array');
  if (saved.length < HEADER || !MAGIC.every((byte, i) => saved[i] === byte)) {
    throw new TypeError('state: not a machine that was saved by this version of the v86 engine');
  }
  const view = new DataView(saved.buffer, saved.byteOffset, saved.byteLength);
  const start = HEADER + view.getUint32(MAGIC.length, true);
  if (start + 16 > saved.length || view.getUint32(start + 8, true) !== saved.length - start) {
    throw new TypeError(`state: truncated or broken: it has ${saved.length} bytes`);
  }
  try {
    const { setup, input } = JSON.parse(new TextDecoder().decode(saved.subarray(HEADER, start))) as Saved;
    const { memory, videoMemory, byInterrupt } = setup;
    const sizes = [memory, videoMemory];
    if (!sizes.every((size) => Number.isInteger(size) && size > 0 && size < 2 ** 31))
      throw new Error('sizes');
    if (!Array.isArray(input) || !input.every((byte) => byte >= 0 && byte <= 0xff)) throw new Error('input');
    return {
      setup: { memory, videoMemory, byInterrupt: byInterrupt === true },
      input,
      state: saved.slice(start).buffer,
    };
  } catch (cause) {
    throw new TypeError('state: broken: its description does not make sense', { cause });
  }
}

/** Puts a state into a machine of the same sizes. Its guest runs no instruction meanwhile. */
export async function restoreState(emulator: Emulator, { state, input }: Saved): Promise<void> {
  const { cpu } = emulator.v86;
  const views = { last_result: cpu.last_result, fpu_status_word: cpu.fpu_status_word, mxcsr: cpu.mxcsr };
  try {
    await emulator.restore_state(state);
  } catch (cause) {
    throw new TypeError(`state: v86 does not take it: ${(cause as Error).message}`, { cause });
  }
  // v86 saves these three words and, instead of restoring them, replaces its views of them by the saved ones.
  for (const name of ['last_result', 'fpu_status_word', 'mxcsr'] as const) {
    if (cpu[name] === views[name]) continue;
    views[name].set(cpu[name]);
    cpu[name] = views[name] as never;
  }
  cpu.devices.uart0.input = [...input];
}
