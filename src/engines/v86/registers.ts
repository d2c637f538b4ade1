/**
 * The processor's registers in the memory of v86's module, at the fixed addresses of its `src/rust/cpu/global_pointers.rs`.
 * All of the guest's registers are there when the hook is called, also by compiled code.
 */
import type { Regs } from '../../cpu.ts';

/** Byte addresses in the module's memory. */
export const REGISTERS = 64; // EAX, ECX, EDX, EBX, ESP, EBP, ESI, EDI
export const FLAGS = 120;
export const INSTRUCTION_POINTER = 556; // the previous one follows it
export const CPL = 612;
export const IN_HLT = 616;
export const INSTRUCTION_COUNTER = 664;

const [EAX, ECX, EDX, EBX] = [0, 1, 2, 3];

/** The registers of CPUID, RDMSR and WRMSR, and the privilege level. */
export class Registers {
  readonly #memory: WebAssembly.Memory;
  #words = new Int32Array(0);
  #bytes = new Uint8Array(0);
  /** One 64-bit value and its two halves. */
  readonly #value = new BigUint64Array(1);
  readonly #halves = new Int32Array(this.#value.buffer);
  /** The guest's own while they are lent. */
  #guest = { eax: 0, ebx: 0, ecx: 0, edx: 0, cpl: 0 };
  #lent = false;

  constructor(memory: WebAssembly.Memory) {
    this.#memory = memory;
  }

  /** Whether one of v86's own functions has them: the hook lets it pass. */
  get lent(): boolean {
    return this.#lent;
  }

  /** Views of the module's memory are lost whenever it grows: call this before the rest. */
  look(): void {
    if (this.#words.length !== 0) return;
    this.#words = new Int32Array(this.#memory.buffer, REGISTERS, 4);
    this.#bytes = new Uint8Array(this.#memory.buffer, 0, 1024);
  }

  get cpl(): number {
    return this.#bytes[CPL]!;
  }

  /** CPUID's leaf, and the index of an MSR. */
  get eax(): number {
    return this.#words[EAX]! >>> 0;
  }

  get ecx(): number {
    return this.#words[ECX]! >>> 0;
  }

  /** EDX:EAX. */
  get pair(): bigint {
    this.#halves[0] = this.#words[EAX]!;
    this.#halves[1] = this.#words[EDX]!;
    return this.#value[0]!;
  }

  set pair(value: bigint) {
    this.#value[0] = value;
    this.#words[EAX] = this.#halves[0]!;
    this.#words[EDX] = this.#halves[1]!;
  }

  get all(): Regs {
    const words = this.#words;
    return {
      eax: words[EAX]! >>> 0,
      ebx: words[EBX]! >>> 0,
      ecx: words[ECX]! >>> 0,
      edx: words[EDX]! >>> 0,
    };
  }

  set all({ eax, ebx, ecx, edx }: Regs) {
    const words = this.#words;
    words[EAX] = eax;
    words[EBX] = ebx;
    words[ECX] = ecx;
    words[EDX] = edx;
  }

  /** For one of v86's own functions, which never calls another: EAX and ECX as given, and ring 0. */
  lend(eax: number, ecx: number): void {
    this.look();
    const words = this.#words;
    const guest = this.#guest;
    guest.eax = words[EAX]!;
    guest.ebx = words[EBX]!;
    guest.ecx = words[ECX]!;
    guest.edx = words[EDX]!;
    guest.cpl = this.#bytes[CPL]!;
    words[EAX] = eax;
    words[ECX] = ecx;
    this.#bytes[CPL] = 0;
    this.#lent = true;
  }

  /** The guest's own are back. */
  takeBack(): void {
    this.all = this.#guest;
    this.#bytes[CPL] = this.#guest.cpl;
    this.#lent = false;
  }

  /** The instruction pointer goes back to the current instruction, whose offset in its page this returns. */
  rewind(): number {
    const pointers = new Int32Array(this.#memory.buffer, INSTRUCTION_POINTER, 2);
    const previous = pointers[1]!;
    pointers[0] = previous;
    return previous & 0xfff;
  }
}
