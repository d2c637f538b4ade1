/**
 * v86 as an engine: a 32-bit PC in WebAssembly, in Node and in browsers, whose CPUID, RDMSR and WRMSR a layer answers.
 *
 * v86 has no hook for these instructions. `wasm.ts` puts one into its module, `hook.ts` answers it, `board.ts` powers a
 * machine on without firmware, `machine.ts` runs it. The host CPU is v86's own processor: it shows
 * "VMwareVMware" at 40000000H, answers 0 for every MSR that it does not know, and drops writes to them.
 * @module
 */

import { isLongMode, type Loaded, load, MIN_MEMORY } from '../../boot/index.ts';
import type { Cpu, Layer, SavingEngine } from '../../cpu.ts';
import type { Board } from './board.ts';
import { type Exports, Hook, SLICE_MS, withExports } from './hook.ts';
import { hostCpu } from './host-cpu.ts';
import { emulatorOf } from './library.ts';
import { makeMachine } from './machine.ts';
import { GuestRam, stateWords } from './memory.ts';
import { hookedModule, type WasmSource } from './module.ts';
import { readState, restoreState } from './state.ts';

export type { WasmSource } from './module.ts';
export { checkState } from './state.ts';
export { insertHooks } from './wasm.ts';

/** The machine's memory, and where v86's module is. */
export interface V86Options {
  /** Guest memory in bytes, 1 MiB to 2047 MiB; default 256 MiB. */
  readonly memory?: number | undefined;
  /** v86.wasm: its address, its bytes, or compiled with the hooks. Needed in a browser; Node takes it from the v86 package. */
  readonly wasm?: WasmSource | undefined;
}

const MiB = 2 ** 20;
const MAX_MEMORY = 2047 * MiB;
const VIDEO_MEMORY = MiB; // nothing here draws; the least that v86's display takes

/** One processor, 32 bits. A RangeError for a memory size that it cannot have. */
export function v86({ memory = 256 * MiB, wasm }: V86Options = {}): SavingEngine {
  if (!Number.isInteger(memory) || memory < MIN_MEMORY || memory > MAX_MEMORY) {
    throw new RangeError(`memory: expected 1 MiB to 2047 MiB in bytes, got ${memory}`);
  }
  return {
    name: 'v86',
    observesCpuid: true,
    hostCpu: async (): Promise<Cpu> => hostCpu(await hookedModule(wasm)),
    async start(layer, image) {
      if (isLongMode(image.kernel))
        throw new TypeError(`kernel: a 64-bit Linux kernel, and v86 is a 32-bit CPU: ${OTHER_KERNEL}`);
      const loaded = load(image, memory);
      const setup = { memory, videoMemory: VIDEO_MEMORY, byInterrupt: loaded.kind === 'linux' };
      return makeMachine(await ready(wasm), layer, setup, false, (board) => enter(board, loaded));
    },
    async resume(layer, state) {
      const saved = readState(state);
      return makeMachine(await ready(wasm), layer, saved.setup, true, (board) => restoreState(board, saved));
    },
  };
}

/**
 * Fetches and compiles v86 ahead of the first `start` with the same address. A `MachineError` where it cannot be had; a
 * module given as bytes is compiled by each start.
 */
export async function preload({ wasm }: Pick<V86Options, 'wasm'> = {}): Promise<void> {
  await ready(wasm);
}

/** The module, and v86's own code on its way at the same time: each takes long to come and to compile. */
async function ready(wasm: WasmSource | undefined): Promise<WebAssembly.Module> {
  const [module] = await Promise.all([hookedModule(wasm), emulatorOf()]);
  return module;
}

/**
 * For those who use v86 already: `new V86({ ..., wasm_fn: underLayer(layer) })`. Each machine gets a layer of its own, and
 * `restore_state` tells it (as `initial_state` does). In a browser pass `wasm`, the address of v86.wasm or its bytes. An
 * error rejects the promise that v86 waits for, which v86 leaves unhandled.
 */
export function underLayer(
  layer: Layer,
  { wasm }: Pick<V86Options, 'wasm'> = {},
): (imports: WebAssembly.Imports) => Promise<WebAssembly.Exports> {
  return async ({ env }) => {
    const ram = new GuestRam();
    const hook = new Hook(env!, layer, {
      memory: ram,
      words: stateWords(() => exports),
      sliceMs: SLICE_MS,
    });
    const instance = await WebAssembly.instantiate(await hookedModule(wasm), { env: hook.env });
    const exports = instance.exports as unknown as Exports;
    ram.attach(exports);
    const cpu = hook.attach(exports);
    return withExports(exports, {
      allocate_memory(size: number) {
        const address = exports.allocate_memory(size);
        ram.allocated(address, size);
        return address;
      },
      main_loop() {
        cpu.poll?.();
        return exports.main_loop();
      },
      // Called once by v86 itself, then whenever the guest resets.
      reset_cpu() {
        exports.reset_cpu();
        cpu.reset?.();
      },
      // The last thing that v86 does when it restores a state, and nowhere else.
      jit_clear_cache_js() {
        exports.jit_clear_cache_js();
        cpu.restored?.();
      },
    });
  };
}

/** Flat 32-bit protected mode, paging and interrupts off, at the image's entry. */
function enter({ emulator }: Board, { segments, entry, registers, gdt }: Loaded): void {
  for (const { address, bytes } of segments) emulator.write_memory(bytes, address);
  const { cpu } = emulator.v86;
  cpu.reg32.set([registers.eax, 0, 0, registers.ebx, 0, 0, registers.esi, 0]);
  cpu.cr[0] = 0x11; // protected mode; the bit that is always set
  cpu.protected_mode[0] = 1;
  cpu.is_32[0] = 1;
  cpu.stack_size_32[0] = 1;
  cpu.flags[0] = 2; // the bit that is always set
  cpu.gdtr_offset[0] = gdt.address;
  cpu.gdtr_size[0] = gdt.limit;
  for (let i = 0; i < 6; i++) {
    const code = i === CS;
    cpu.sreg[i] = code ? gdt.code : gdt.data;
    cpu.segment_is_null[i] = 0;
    cpu.segment_offsets[i] = 0;
    cpu.segment_limits[i] = 0xffff_ffff;
    cpu.segment_access_bytes[i] = code ? 0x9b : 0x93;
  }
  cpu.instruction_pointer[0] = entry;
  cpu.update_state_flags();
}

const OTHER_KERNEL = 'use one for i386 (Debian: linux-image-686), or the kvm engine';
const CS = 1; // of ES, CS, SS, DS, FS, GS
