/**
 * Between v86 and a layer: the hooked module asks here when a guest executes CPUID, RDMSR or WRMSR.
 *
 * Addresses are those of v86's own `src/rust/cpu/global_pointers.rs`: the processor's state lies at fixed places at the
 * bottom of the module's memory. In the hook all of the guest's registers are there, also when compiled code called.
 */
import type { Fault, Layer, Lifecycle, SyncCpu } from '../../cpu.ts';
import { CPUID, RDMSR, WRMSR } from './wasm.ts';

/** Byte addresses in the module's memory. */
export const REGISTERS = 64; // EAX, ECX, EDX, EBX, ESP, EBP, ESI, EDI
export const FLAGS = 120;
export const INSTRUCTION_POINTER = 556;
export const PREVIOUS_IP = 560;
export const CPL = 612;
export const IN_HLT = 616;
export const INSTRUCTION_COUNTER = 664;

const [EAX, ECX, EDX, EBX] = [0, 1, 2, 3];

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

/** The new `env` of v86, and the layer's processor once `attach` has been given the module's exports. */
export interface Hook {
  readonly env: WebAssembly.ModuleImports;
  attach(exports: Exports): SyncCpu;
}

/** `life`: the engine's part of the host CPU's `Lifecycle`. */
export function makeHook(env: WebAssembly.ModuleImports, layer: Layer, life: Lifecycle = {}): Hook {
  const readPort = env.io_port_read32 as (port: number) => number;
  let exports: Exports;
  let cpu: SyncCpu;
  let [cpuid, rdmsr, wrmsr] = [idle, idle, idle];
  /** While one of the three original functions runs, the hook lets it pass. */
  let open = true;
  let words = new Int32Array(0);
  let bytes = new Uint8Array(0);
  /** One 64-bit value and its two halves. */
  const value = new BigUint64Array(1);
  const halves = new Int32Array(value.buffer);

  /** Views of the module's memory; they are lost whenever it grows. */
  const look = () => {
    if (words.length !== 0) return;
    words = new Int32Array(exports.memory.buffer, REGISTERS, 4);
    bytes = new Uint8Array(exports.memory.buffer, 0, 1024);
  };

  // The guest's own registers while an original instruction runs; the hook is open then, so that there is never a second one.
  let [eax, ebx, ecx, edx, ring] = [0, 0, 0, 0, 0];
  /** Registers of its own for an original instruction, and ring 0. */
  const enter = (a: number, c: number, d: number) => {
    look();
    eax = words[EAX]!;
    ebx = words[EBX]!;
    ecx = words[ECX]!;
    edx = words[EDX]!;
    ring = bytes[CPL]!;
    words[EAX] = a;
    words[ECX] = c;
    words[EDX] = d;
    bytes[CPL] = 0;
    open = true;
  };
  const leave = () => {
    words[EAX] = eax;
    words[EBX] = ebx;
    words[ECX] = ecx;
    words[EDX] = edx;
    bytes[CPL] = ring;
    open = false;
  };

  /**
   * v86's own processor. It never faults: an unknown MSR reads 0, and writes to it are dropped. Three functions
   * in full, because a guest waits for them: a call that always goes to the same function of the module is a fast one.
   */
  const hostCpu: SyncCpu = {
    ...life,
    cpuid(leaf, subleaf) {
      enter(leaf, subleaf, 0);
      try {
        cpuid();
        return {
          eax: words[EAX]! >>> 0,
          ebx: words[EBX]! >>> 0,
          ecx: words[ECX]! >>> 0,
          edx: words[EDX]! >>> 0,
        };
      } finally {
        leave();
      }
    },
    rdmsr(index) {
      enter(0, index, 0);
      try {
        rdmsr();
        return pair();
      } finally {
        leave();
      }
    },
    wrmsr(index, wanted) {
      value[0] = wanted;
      enter(halves[0]!, index, halves[1]!);
      try {
        wrmsr();
      } finally {
        leave();
      }
      return undefined;
    },
  };
  const pair = (): bigint => {
    halves[0] = words[EAX]!;
    halves[1] = words[EDX]!;
    return value[0]!;
  };

  /**
   * An exception at the instruction that called. v86's `trigger_gp_jit` takes the offset in the page of the *current*
   * instruction pointer, which is already behind the instruction and may be in the next page: so put it back first.
   */
  const raise = (fault: Fault) => {
    const pointers = new Int32Array(exports.memory.buffer, INSTRUCTION_POINTER, 2);
    const previous = pointers[1]!;
    pointers[0] = previous;
    if (fault === '#UD') exports.trigger_ud_jit(previous & 0xfff);
    else exports.trigger_gp_jit(0, previous & 0xfff);
    exports.exit_jit();
  };

  /** 1: answered; 0: let the original run. */
  const answer = (marker: number): number => {
    if (open) return 0;
    look();
    if (marker === CPUID) {
      const regs = cpu.cpuid(words[EAX]! >>> 0, words[ECX]! >>> 0);
      words[EAX] = regs.eax;
      words[EBX] = regs.ebx;
      words[ECX] = regs.ecx;
      words[EDX] = regs.edx;
      return 1;
    }
    // RDMSR and WRMSR outside of ring 0 raise #GP whatever the layer says: the original does.
    if (bytes[CPL] !== 0) return 0;
    const index = words[ECX]! >>> 0;
    const result = marker === RDMSR ? cpu.rdmsr(index) : cpu.wrmsr(index, pair());
    if (typeof result === 'string') raise(result);
    else if (result !== undefined) {
      value[0] = result;
      words[EAX] = halves[0]!;
      words[EDX] = halves[1]!;
    }
    return 1;
  };

  return {
    env: {
      ...env,
      io_port_read32: (port: number) => (port > 0xffff && isMarker(port) ? answer(port) : readPort(port)),
    },
    attach(given) {
      exports = given;
      cpuid = given.instr_0FA2;
      rdmsr = given.instr_0F32;
      wrmsr = given.instr_0F30;
      cpu = layer(hostCpu);
      open = false;
      return cpu;
    },
  };
}

const idle = () => {};
const isMarker = (port: number) => port === CPUID || port === RDMSR || port === WRMSR;
