/** The port: what a guest can ask of its processor, and the shapes of what answers it. Imports nothing. @module */

/** The four registers that CPUID fills, each an unsigned 32-bit number. */
export interface Regs {
  readonly eax: number;
  readonly ebx: number;
  readonly ecx: number;
  readonly edx: number;
}

/** The exceptions that CPUID, RDMSR and WRMSR can raise (SDM volume 2, the instructions' own pages). */
export type Fault = '#GP' | '#UD';

/** General protection: what the architecture answers to an MSR that is not there. */
export const GP: Fault = '#GP';

/** An answer at once, or the promise of one: a processor at the other end of a line takes its time. */
export type Awaitable<T> = T | Promise<T>;

/**
 * What a guest can ask of its processor. Leaves, subleaves and MSR indices are unsigned 32-bit numbers, MSR values
 * unsigned 64-bit bigints. A fault is a value, never thrown; what is thrown is the far end breaking (`MachineError`).
 */
export interface Cpu {
  /** CPUID with EAX = leaf and ECX = subleaf. */
  cpuid(leaf: number, subleaf: number): Awaitable<Regs>;
  /** RDMSR with ECX = index. */
  rdmsr(index: number): Awaitable<bigint | Fault>;
  /** WRMSR with ECX = index and EDX:EAX = value; `undefined` when it was accepted. */
  wrmsr(index: number, value: bigint): Awaitable<Fault | undefined>;
}

/** A `Cpu` that answers at once: inside a VM exit nobody awaits. */
export interface SyncCpu extends Cpu {
  cpuid(leaf: number, subleaf: number): Regs;
  rdmsr(index: number): bigint | Fault;
  wrmsr(index: number, value: bigint): Fault | undefined;
  /**
   * The engine says that the machine's state was just put back from a saved copy, in place, and that no guest
   * instruction has run since. A layer that wraps another passes it down. A machine resumed as a new one has a layer
   * of its own instead, made anew.
   */
  restored?(): void;
}

/**
 * A hypervisor: a function from the processor below to the processor that its guest sees. Each call makes the layer of
 * one machine, with all its vCPUs. CPUID answers stay constant for the layer's life; MSRs may vary. A layer that throws
 * ends its machine, with what it threw as the cause.
 */
export type Layer = (below: SyncCpu) => SyncCpu;

/** The floor under every layer: all leaves zero, every MSR faults. */
export const bare: SyncCpu = {
  cpuid: () => ({ eax: 0, ebx: 0, ecx: 0, edx: 0 }),
  rdmsr: () => GP,
  wrmsr: () => GP,
};

/** What to boot. The engine recognises the kernel's format by its bytes: multiboot, Linux bzImage, ELF with a PVH note. */
export interface Image {
  /** The whole file; read, never written. */
  readonly kernel: Uint8Array;
  /** The initial RAM disk, whole; for multiboot its first module. An empty one is none. */
  readonly initrd?: Uint8Array;
  /** The kernel's command line, ASCII, without the terminating NUL. */
  readonly commandLine?: string;
}

/** A machine's first serial line, COM1: bytes out of the guest, and bytes into it. */
export interface Console {
  /** Ends with the machine. A guest whose output is not read waits; once this is cancelled, its output is dropped. */
  readonly readable: ReadableStream<Uint8Array>;
  /** A write resolves when the guest's end of the line has taken it; after the machine's end it rejects. */
  readonly writable: WritableStream<Uint8Array>;
}

/** How a machine ended. */
export interface End {
  /** `quit`: the guest powered off or asked to end; `halt`: it halted for good; `shutdown`: triple fault; `closed`: by `close()`. */
  readonly reason: 'quit' | 'halt' | 'shutdown' | 'closed' | 'failed';
  /** With `failed`, and where there is more to say: one line, with the registers that help. */
  readonly detail?: string;
  /** With `failed`: what was thrown. */
  readonly cause?: unknown;
}

/** A guest that runs. */
export interface Machine {
  readonly console: Console;
  /** Resolves once, when the guest is no more; never rejects. */
  readonly ended: Promise<End>;
  /** Ends the guest and frees what it held; safe to call twice. Resolves when nothing is left running. */
  close(): Promise<void>;
  /** Stops the guest's processors between two instructions; resolves when they stand still. */
  pause?(): Promise<void>;
  /** Lets them go on where they were. */
  unpause?(): Promise<void>;
  /** The whole machine as bytes, for the same engine's `resume`. It goes on running (or stays paused). */
  save?(): Promise<Uint8Array>;
  /** Puts a saved state back into this machine, and tells its layer before the guest's next instruction. */
  restore?(state: Uint8Array): Promise<void>;
}

/** What runs guests. It knows processors, not CommonHV. */
export interface Engine {
  /** For people: what reports and messages call it. */
  readonly name: string;
  /** The processor under any layer, to be scanned before a layer is built; never a guest's. */
  hostCpu(): Promise<Cpu>;
  /** Boots an image under a layer. Throws a `TypeError` or `RangeError` for a bad image, `MachineError` where the world is broken. */
  start(layer: Layer, image: Image): Promise<Machine>;
  /** A new machine from a saved state, under a layer of its own. */
  resume?(layer: Layer, state: Uint8Array): Promise<Machine>;
}

/** The world broke: no /dev/kvm, a failed ioctl, a guest that went silent. The message is one line, for people. */
export class MachineError extends Error {
  override name = 'MachineError';
}

/** Checks an unsigned 32-bit number at a public edge; throws a RangeError that names the argument. */
export function u32(value: number, name: string): number {
  if (!Number.isInteger(value) || value < 0 || value > 0xffff_ffff) {
    throw new RangeError(`${name}: expected an integer from 0 to 0xffffffff, got ${value}`);
  }
  return value;
}

/** A number as the field writes it: `0x` and at least eight lower-case digits. */
export function hex(value: number | bigint, digits = 8): string {
  return `0x${value.toString(16).padStart(digits, '0')}`;
}
