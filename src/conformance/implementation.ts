/** The implementation under test: a processor whose answers are checked for their width, and its CommonHV leaves, read once. */
import { type Awaitable, type Cpu, type Fault, hex, MachineError, type Regs } from '../cpu.ts';
import {
  type Draft,
  decodeCount,
  decodeFeatures,
  decodeMsrLeaf,
  decodeRngIndex,
  LEAF_FEATURES,
  LEAF_INTERFACES,
  LEAF_MSRS,
  LEAF_ROOT,
  MAX_INTERFACES,
  ZEROS,
} from '../spec/index.ts';
import { deadline, isPromise } from './deadline.ts';

/** The owner's operations on the machine; a rule whose control is missing is skipped. */
export interface MachineControls {
  /** A new machine from a state that was saved while this one ran: its processor. The one before may be gone. */
  resume?(): Promise<Cpu>;
  /** Restores a saved state into this machine, in place; returns its processor afterwards. */
  restore?(): Promise<Cpu>;
  /** Stops the machine's processors for a moment, and lets them go on. */
  pause?(): Promise<void>;
  /** The machine's other virtual CPUs. */
  readonly others?: readonly Cpu[];
}

/** A subleaf of 4F000001H that is not all zeros. */
export interface Entry {
  readonly subleaf: number;
  readonly regs: Regs;
}

/** The argument of a rule's check: the processor, its answers checked for their width, and its CommonHV leaves, read once. */
export interface Implementation extends Cpu {
  /** The draft that it is checked against. */
  readonly draft: Draft;
  /** 4F000000H as it is, even where it is not CommonHV's. */
  readonly root: Regs;
  /** max_commonhv_leaf; 4F000000H where no CommonHV was found. */
  readonly maxLeaf: number;
  /** CPUID.4F000001H.0; this and the next two are zeros where max_commonhv_leaf does not reach them. */
  readonly interfaces: Regs;
  /** CPUID.4F000002H.0. */
  readonly features: Regs;
  /** CPUID.4F000003H.0; zeros in draft 1, which has no such leaf. */
  readonly registers: Regs;
  /** The entries of the list, in order; at most `MAX_INTERFACES`. Draft 1 ends at the first that is all zeros. */
  readonly entries: readonly Entry[];
  /** How many tuples the hypervisor says that there are, unbounded. In draft 1 as many as were found. */
  readonly count: number;
  /** The RNG where it is offered and max_commonhv_leaf reaches its register's leaf; `input`: it takes writes (draft 1: always). */
  readonly rng: { readonly msr: number; readonly input: boolean } | undefined;
  /** Draft 3, likewise; `undefined` too where its index is the RNG's. */
  readonly generation: { readonly msr: number } | undefined;
  /** The machine controls of the caller of `verify`. */
  readonly controls: MachineControls;
  /** The processor of a restored machine, its answers checked alike. */
  checkAnswers(cpu: Cpu): Cpu;
}

/** An answer that no processor gives: a rule that meets it fails, whatever its level. */
export class BadAnswer extends Error {
  override name = 'BadAnswer';
}

/** The same processor, with every answer's width checked and every question given at most `patience` milliseconds. */
export function checked(cpu: Cpu, timeoutMs: number): Cpu {
  /** A synchronous answer stays synchronous: a suite asks hundreds of questions. */
  const ask = <T>(what: string, question: () => Awaitable<T>, fault: (answer: T) => string | undefined) => {
    const answered = (answer: T): T => {
      const wrong = fault(answer);
      if (wrong === undefined) return answer;
      throw new BadAnswer(`${what}: expected ${wrong}`);
    };
    const broken = (cause: unknown): never => {
      throw new MachineError(`${what}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
    };
    let answer: Awaitable<T>;
    try {
      answer = question();
    } catch (cause) {
      return broken(cause);
    }
    return isPromise(answer) ? deadline(answer, timeoutMs).catch(broken).then(answered) : answered(answer);
  };
  return {
    cpuid: (leaf, subleaf) =>
      ask(
        `CPUID ${hex(leaf)}.${hex(subleaf, 1)}`,
        () => cpu.cpuid(leaf, subleaf),
        (regs) => {
          const name = NAMES.find((name) => !isU32(regs?.[name]));
          return name && `32 bits in ${name.toUpperCase()}, got ${regs?.[name]}`;
        },
      ),
    rdmsr: (index) =>
      ask(
        `RDMSR ${hex(index)}`,
        () => cpu.rdmsr(index),
        (value) =>
          isFault(value) || (typeof value === 'bigint' && BigInt.asUintN(64, value) === value)
            ? undefined
            : `64 bits or a fault, got ${value}`,
      ),
    wrmsr: (index, value) =>
      ask(
        `WRMSR ${hex(index)}`,
        () => cpu.wrmsr(index, value),
        (answer) =>
          answer === undefined || isFault(answer) ? undefined : `nothing or a fault, got ${answer}`,
      ),
  };
}

const NAMES = ['eax', 'ebx', 'ecx', 'edx'] as const;

/** Reads the leaves that a draft's guest reads, in the draft's order. `cpu` is a checked one. */
export async function read(
  cpu: Cpu,
  root: Regs,
  maxLeaf: number,
  draft: Draft,
  controls: MachineControls,
  check: (cpu: Cpu) => Cpu,
): Promise<Implementation> {
  const reached = async (leaf: number): Promise<Regs> =>
    leaf > LEAF_ROOT && leaf <= maxLeaf ? cpu.cpuid(leaf, 0) : ZEROS;
  const interfaces = await reached(LEAF_INTERFACES);
  const features = await reached(LEAF_FEATURES);
  const registers = draft === 1 ? ZEROS : await reached(LEAF_MSRS);
  const entries = maxLeaf >= LEAF_INTERFACES ? await list(cpu, draft, interfaces) : [];
  const said = draft === 1 ? entries.length : decodeCount(interfaces).count;
  const advertised = where(draft, maxLeaf, features, registers);
  const read = { draft, root, maxLeaf, interfaces, features, registers, entries, count: said };
  return { ...cpu, ...read, ...advertised, controls: controls, checkAnswers: check };
}

async function list(cpu: Cpu, draft: Draft, first: Regs): Promise<readonly Entry[]> {
  const entries: Entry[] = [];
  if (draft === 1) {
    // "CPUID with EAX = 0x4F000001 and ECX >= N MUST return all zeros": so N is where the zeros begin.
    for (let subleaf = 0; subleaf < MAX_INTERFACES; subleaf++) {
      const regs = subleaf === 0 ? first : await cpu.cpuid(LEAF_INTERFACES, subleaf);
      if (isZeros(regs)) break;
      entries.push({ subleaf, regs });
    }
    return entries;
  }
  // READING: draft 2 says "for each 1 < i <= N", which would leave entry 1 undefined; we take 1 <= i <= N.
  for (let subleaf = 1; subleaf <= Math.min(decodeCount(first).count, MAX_INTERFACES); subleaf++) {
    const regs = await cpu.cpuid(LEAF_INTERFACES, subleaf);
    if (!isZeros(regs)) entries.push({ subleaf, regs });
  }
  return entries;
}

function where(
  draft: Draft,
  maxLeaf: number,
  features: Regs,
  registers: Regs,
): Pick<Implementation, 'rng' | 'generation'> {
  if (draft === 1) {
    const msr = decodeRngIndex(features);
    return { rng: msr === undefined ? undefined : { msr, input: true }, generation: undefined };
  }
  const { rng, rngInput, generation } = decodeFeatures(features);
  const at = decodeMsrLeaf(registers);
  const there = maxLeaf >= LEAF_MSRS;
  // One index for both registers is the RNG's: its values are no generation.
  const own = draft === 3 && generation && there && !(rng && at.generation === at.rng);
  return {
    rng: rng && there ? { msr: at.rng, input: rngInput } : undefined,
    generation: own ? { msr: at.generation } : undefined,
  };
}

export function isZeros({ eax, ebx, ecx, edx }: Regs): boolean {
  return eax === 0 && ebx === 0 && ecx === 0 && edx === 0;
}

export function sameRegs(a: Regs, b: Regs): boolean {
  return a.eax === b.eax && a.ebx === b.ebx && a.ecx === b.ecx && a.edx === b.edx;
}

/** Registers as a report shows them. */
export function show({ eax, ebx, ecx, edx }: Regs): string {
  return `EAX ${hex(eax)} EBX ${hex(ebx)} ECX ${hex(ecx)} EDX ${hex(edx)}`;
}

export function isU32(value: unknown): value is number {
  return Number.isInteger(value) && (value as number) >= 0 && (value as number) <= 0xffff_ffff;
}

export function isFault(value: unknown): value is Fault {
  return value === '#GP' || value === '#UD';
}
