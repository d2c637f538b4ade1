/** Between v86 and a layer: the hooked module asks here when a guest executes CPUID, RDMSR or WRMSR. */
import type { Fault, Layer, Lifecycle, SyncCpu } from '../../cpu.ts';
import { Registers } from './registers.ts';
import { CPUID, RDMSR, WRMSR } from './wasm.ts';

/** The module's exports that are called (`module.ts` checks that they exist). */
export interface Exports {
  readonly memory: WebAssembly.Memory;
  readonly instr_0FA2: () => void;
  readonly instr_0F32: () => void;
  readonly instr_0F30: () => void;
  readonly rust_init: () => void;
  readonly main_loop: () => number;
  readonly reset_cpu: () => void;
  readonly allocate_memory: (size: number) => number;
  readonly jit_clear_cache_js: () => void;
  readonly trigger_gp_jit: (code: number, offset: number) => void;
  readonly trigger_ud_jit: (offset: number) => void;
  readonly exit_jit: () => void;
  readonly jit_dirty_cache: (start: number, end: number) => void;
  readonly in_mapped_range: (address: number) => number;
}

/**
 * A module's exports with some replaced, for v86. A plain object of 802 properties is made by as many changes of its shape; one
 * without a prototype is a table at once.
 */
export function withExports(exports: Exports, own: Partial<Exports>): WebAssembly.Exports {
  return Object.assign(Object.create(null), exports, own);
}

/** v86 looks at the clock every 100,003 instructions, and ends a call of `main_loop` after so many ms (TIME_PER_FRAME in its cpu.rs). */
export const SLICE_MS = 1;

/** One machine's hook: the `env` for its module, and the layer's processor once `attach` has been given the module's exports. */
export class Hook {
  readonly env: WebAssembly.ModuleImports;
  readonly #layer: Layer;
  readonly #life: Lifecycle;
  #answer: (marker: number) => number = letPass;

  /** `life`: the engine's part of the host CPU's `Lifecycle`. */
  constructor(env: WebAssembly.ModuleImports, layer: Layer, life: Lifecycle = {}) {
    const readPort = env.io_port_read32 as (port: number) => number;
    this.env = {
      ...env,
      io_port_read32: (port: number) =>
        port > 0xffff && isMarker(port) ? this.#answer(port) : readPort(port),
    };
    this.#layer = layer;
    this.#life = life;
  }

  attach(exports: Exports): SyncCpu {
    const registers = new Registers(exports.memory);
    const cpu = this.#layer(hostCpuOf(registers, exports, this.#life));
    this.#answer = answers(registers, exports, cpu);
    return cpu;
  }
}

const isMarker = (port: number) => port === CPUID || port === RDMSR || port === WRMSR;
/** While the layer is made, v86's own functions run. */
const letPass = () => 0;

/**
 * v86's own processor. It never faults: an unknown MSR reads 0, and writes to it are dropped. Three functions
 * in full, because a guest waits for them: a call that always goes to the same function of the module is a fast one.
 */
function hostCpuOf(
  registers: Registers,
  { instr_0FA2: cpuid, instr_0F32: rdmsr, instr_0F30: wrmsr }: Exports,
  life: Lifecycle,
): SyncCpu {
  return {
    ...life,
    cpuid(leaf, subleaf) {
      registers.lend(leaf, subleaf);
      try {
        cpuid();
        return registers.all;
      } finally {
        registers.takeBack();
      }
    },
    rdmsr(index) {
      registers.lend(0, index);
      try {
        rdmsr();
        return registers.pair;
      } finally {
        registers.takeBack();
      }
    },
    wrmsr(index, value) {
      registers.lend(0, index);
      registers.pair = value;
      try {
        wrmsr();
      } finally {
        registers.takeBack();
      }
      return undefined;
    },
  };
}

/** The answers of `cpu` to a marker. 1: answered; 0: let the original run. */
function answers(registers: Registers, exports: Exports, cpu: SyncCpu): (marker: number) => number {
  return (marker) => {
    if (registers.lent) return 0;
    registers.look();
    if (marker === CPUID) {
      registers.all = cpu.cpuid(registers.eax, registers.ecx);
      return 1;
    }
    // RDMSR and WRMSR outside of ring 0 raise #GP whatever the layer says: the original does.
    if (registers.cpl !== 0) return 0;
    const index = registers.ecx;
    const result = marker === RDMSR ? cpu.rdmsr(index) : cpu.wrmsr(index, registers.pair);
    if (typeof result === 'string') raise(result, registers, exports);
    else if (result !== undefined) registers.pair = result;
    return 1;
  };
}

/**
 * An exception at the instruction that called. v86's `trigger_gp_jit` takes the offset in the page of the *current*
 * instruction pointer, which is already behind the instruction and may be in the next page: so it is rewound first.
 */
function raise(fault: Fault, registers: Registers, exports: Exports): void {
  const offset = registers.rewind();
  if (fault === '#UD') exports.trigger_ud_jit(offset);
  else exports.trigger_gp_jit(0, offset);
  exports.exit_jit();
}
