/** The port: a guest's questions to its processor, and the types of their answers. Imports nothing. @module */

/** The four registers that CPUID fills, each an unsigned 32-bit number. */
export interface Regs {
  readonly eax: number;
  readonly ebx: number;
  readonly ecx: number;
  readonly edx: number;
}

/**
 * The exceptions that CPUID, RDMSR and WRMSR can raise (SDM volume 2, the instructions' own pages). #VE and #VC come in
 * confidential guests, TDX and SEV-ES, from the processor alone: a layer's are raised as #GP.
 */
export type Fault = '#GP' | '#UD' | '#VE' | '#VC';

/** General protection: the architecture's answer to an absent MSR. */
export const GP: Fault = '#GP';

/** An answer at once, or the promise of one: a processor at the other end of a line takes its time. */
export type Awaitable<T> = T | Promise<T>;

/**
 * A guest's questions to its processor. Leaves, subleaves and MSR indices are unsigned 32-bit numbers, MSR values
 * unsigned 64-bit bigints. A fault is a value, never thrown; a `MachineError` means that the far end broke.
 */
export interface Cpu {
  /** CPUID with EAX = leaf and ECX = subleaf. */
  cpuid(leaf: number, subleaf: number): Awaitable<Regs>;
  /** RDMSR with ECX = index. */
  rdmsr(index: number): Awaitable<bigint | Fault>;
  /** WRMSR with ECX = index and EDX:EAX = value; `undefined` when it was accepted. */
  wrmsr(index: number, value: bigint): Awaitable<Fault | undefined>;
}

/**
 * Guest RAM as a layer may reach it: whole pages of 4,096 bytes at guest-physical addresses, which are multiples of 4,096
 * below 2^64. A layer is made before the machine has its memory, so nothing is asked of this before the guest runs or `restored`.
 */
export interface GuestMemory {
  /**
   * Whether the page is wholly RAM now, which the guest can write and the engine can store plain text in: no ROM, MMIO, VGA
   * hole, SMRAM, read-only or private memory, and nothing above the physical address width.
   */
  isRam(address: number): boolean;
  /**
   * One aligned 64-bit store, little-endian, at `offset` 0 or 8 of the page. The page counts as written, for migration and
   * for compiled code. Throws a RangeError where `isRam` says no.
   */
  store(address: number, offset: 0 | 8, value: bigint): void;
  /** The 64 bits that are there now; throws as `store` does. */
  load(address: number, offset: 0 | 8): bigint;
}

/**
 * Guest RAM as the machine's owner may reach it. Addresses are bytes; reads see the guest's writes, and writes are like the
 * guest's. Both throw a RangeError unless all bytes are in one page of RAM, and a `MachineError` once the machine has ended.
 */
export interface MachineMemory {
  /** A copy of `length` bytes from `address`. */
  read(address: number, length: number): Uint8Array;
  write(address: number, bytes: Uint8Array): void;
}

/** State of a layer, for the engine's saved states: plain data that JSON can carry. */
export type SavedLayer = { readonly [name: string]: string | number | boolean | null | SavedLayer };

/** Two unsigned 32-bit words of the machine's own state, out of the guest's reach; both 0 at power-on. */
export interface StateWords {
  load(): readonly [number, number];
  store(first: number, second: number): void;
}

/**
 * The messages between engine and layer about the life of a machine. The engine gives the first group as part of the host
 * CPU, and calls the second group on the layer. A layer that wraps another passes all of it through: see `lifecycle`.
 */
export interface Lifecycle {
  /** The guest's RAM; absent where the engine gives no way to it, or its saved states cannot carry the layer's state. */
  readonly memory?: GuestMemory | undefined;
  /** Only where the engine's saved states cannot carry `saved()`: words that they do carry. */
  readonly words?: StateWords | undefined;
  /** True where the machine is made from a saved state: `restored` follows before its first instruction. Absent: it starts. */
  readonly resumed?: boolean | undefined;
  /**
   * Called by the layer when it renews its generation other than by `restored`, while no vCPU executes: an engine with a VM
   * generation device renews that too. Absent where there is none.
   */
  readonly renewed?: (() => void) | undefined;
  /** The guest runs in slices of about so many milliseconds at most, and `poll` comes before each. Absent: nothing is said of that. */
  readonly sliceMs?: number | undefined;
  /** Calls `action` while no vCPU executes guest instructions, before it returns. Absent: that is so whenever the layer is called. */
  readonly whileStopped?: ((action: () => void) => void) | undefined;

  /** The layer's part of the machine's saved state. The engine calls it while no vCPU executes, and keeps the result with the state. */
  readonly saved?: (() => SavedLayer | undefined) | undefined;
  /**
   * The machine was restored, in place or as a new one (`resumed`), memory and registers are loaded, and no guest instruction
   * has run since. `saved`: the result of `saved()` at the save, where this engine's states carry it. A layer that throws
   * refuses the state: the machine is not resumed, or ends, with the thrown error as the cause.
   */
  readonly restored?: ((saved?: SavedLayer | undefined) => void) | undefined;
  /** The machine was reset: registers of the layer take their values of power-on. Generation and leaves stay. */
  readonly reset?: (() => void) | undefined;
  /** Called now and then while no vCPU executes, at least every 100 ms while the guest runs. */
  readonly poll?: (() => void) | undefined;
}

/** A `Cpu` that answers at once: inside a VM exit nobody awaits. */
export interface SyncCpu extends Cpu, Lifecycle {
  cpuid(leaf: number, subleaf: number): Regs;
  rdmsr(index: number): bigint | Fault;
  wrmsr(index: number, value: bigint): Fault | undefined;
}

/** The `Lifecycle` of a CPU, to be passed through: `{ ...lifecycle(host), cpuid, rdmsr, wrmsr }`. */
export function lifecycle({
  memory,
  words,
  resumed,
  renewed,
  sliceMs,
  whileStopped,
  saved,
  restored,
  reset,
  poll,
}: SyncCpu): Lifecycle {
  return { memory, words, resumed, sliceMs, renewed, whileStopped, saved, restored, reset, poll };
}

/**
 * A hypervisor: a function from the host CPU to the CPU that its guest sees. Each call makes the layer of one machine, with
 * all its vCPUs. CPUID answers stay constant for the layer's life; MSRs may vary. A layer that throws ends its machine, with
 * the thrown error as the cause.
 */
export type Layer = (host: SyncCpu) => SyncCpu;

/**
 * A layer that is built in another thread: `module` is an absolute URL, or a name under which this package exports something;
 * its export `export` is called with `options`, which have to survive a structured clone, and with a function by which the
 * layer can report events; it returns a `Layer`, or a promise of one.
 */
export interface LayerModule {
  readonly module: string | URL;
  readonly export: string;
  readonly options?: unknown;
  /** Called with each event, on the thread that started the machine. */
  readonly onEvent?: ((event: unknown) => void) | undefined;
}

/** The host CPU where there is none: all leaves zero, every MSR faults. */
export const bare: SyncCpu = {
  cpuid: () => ({ eax: 0, ebx: 0, ecx: 0, edx: 0 }),
  rdmsr: () => GP,
  wrmsr: () => GP,
};

/** The image to boot. The engine recognises the kernel's format by its bytes: multiboot, Linux bzImage, ELF with a PVH note. */
export interface Image {
  /** The whole file; read, never written. */
  readonly kernel: Uint8Array;
  /** The initial RAM disk, whole; for multiboot its first module. An empty one is none. */
  readonly initrd?: Uint8Array | undefined;
  /** The kernel's command line, ASCII, without the terminating NUL. */
  readonly commandLine?: string | undefined;
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
  readonly detail?: string | undefined;
  /** With `failed`: the exception. */
  readonly cause?: unknown;
}

/** A guest that runs. An engine's own type says which of the optional controls its machines have. */
export interface Machine {
  readonly console: Console;
  /** Every serial line of the machine, the first being `console`; absent where there is one. */
  readonly consoles?: readonly Console[] | undefined;
  /** Resolves once, when the guest is no more; never rejects. */
  readonly ended: Promise<End>;
  /** Ends the guest and frees its resources; safe to call twice. Resolves when nothing is left running. */
  close(): Promise<void>;
  /** The guest's RAM; absent where the engine gives no way to it. */
  readonly memory?: MachineMemory | undefined;
  /** Stops the guest's processors between two instructions; resolves when they stand still. */
  pause?(): Promise<void>;
  /** Lets them go on where they were. */
  unpause?(): Promise<void>;
  /** The whole machine as bytes, for the same engine's `resume`, its layer's state included. It goes on running (or stays paused). */
  save?(): Promise<Uint8Array>;
  /** As `save`, to a file for the same engine's `resumeFile`: the file is there when it is complete, or not at all. */
  saveFile?(path: string): Promise<void>;
  /**
   * Loads a saved state into this machine, and tells its layer before the guest's next instruction. A state that the layer
   * refuses ends the machine and rejects with the layer's error.
   */
  restore?(state: Uint8Array): Promise<void>;
}

/** A machine that can be paused. */
export type PausableMachine = Machine & Required<Pick<Machine, 'pause' | 'unpause'>>;
/** A machine that can be paused, saved and restored in place. */
export type SavableMachine = PausableMachine & Required<Pick<Machine, 'save' | 'restore'>>;

/** Runs guests. It knows processors, not CommonHV. */
export interface Engine<M extends Machine = Machine> {
  /** The name in reports and messages. Nothing is decided by it. */
  readonly name: string;
  /** Whether the layer's `cpuid` is called for each CPUID of the guest; false: it is called once a leaf, before the guest starts. */
  readonly observesCpuid: boolean;
  /** The processor under any layer, to be scanned before a layer is built; never a guest's. */
  hostCpu(): Promise<Cpu>;
  /** Boots an image under a layer. Throws a `TypeError` or `RangeError` for a bad image, `MachineError` where the engine cannot run. */
  start(layer: Layer, image: Image): Promise<M>;
  /** As `start`, with a layer that is built on the thread that runs the guest: faster where the engine has such a thread. */
  startModule?(layer: LayerModule, image: Image): Promise<M>;
  /** A new machine from a saved state, under a layer of its own. Rejects with the error of a layer that refuses the state. */
  resume?(layer: Layer, state: Uint8Array): Promise<M>;
  /** As `resume`, from a file of `saveFile`, where a layer may be a module as in `startModule`. */
  resumeFile?(layer: Layer | LayerModule, path: string): Promise<M>;
}

/** An engine whose machines can be saved, and resumed as new ones. */
export type SavingEngine<M extends SavableMachine = SavableMachine> = Engine<M> &
  Required<Pick<Engine<M>, 'resume'>>;

/**
 * Why a machine could not be had, or did not go on. `unavailable`: a device, package, permission or feature is missing;
 * `ended`: the machine has ended; `refused`: a saved state cannot be resumed here; `source`: the random source failed;
 * `timeout`: the other side did not answer in time; `failed`: anything else.
 */
export type MachineErrorCode = 'unavailable' | 'ended' | 'refused' | 'source' | 'timeout' | 'failed';

/** Something outside of the program broke: no /dev/kvm, a failed ioctl, a silent guest. The message is one line. */
export class MachineError extends Error {
  override name = 'MachineError';
  /** For programs; `failed` by default. */
  readonly code: MachineErrorCode;

  constructor(
    message: string,
    { code = 'failed', ...options }: ErrorOptions & { readonly code?: MachineErrorCode | undefined } = {},
  ) {
    super(message, options);
    this.code = code;
  }
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
