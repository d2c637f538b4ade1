/** The implementation under test: its CPUs and controls, and the leaves of CommonHV, read once. */
import { type Cpu, hex, type Regs } from '../cpu.ts';
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
  ZEROS,
} from '../spec/index.ts';
import type { Controls, Machine } from './machine.ts';

/** A subleaf of 4F000001H that is not all zeros. */
export interface Entry {
  readonly subleaf: number;
  readonly regs: Regs;
}

/** A register of CommonHV that is offered, and whose index can be read. */
export interface Register {
  readonly msr: number;
}

/** The argument of a rule's check: the first CPU, its answers checked for their width, and the leaves of CommonHV on it, read once. */
export interface Implementation extends Cpu {
  /** The draft whose rules are asked. */
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
  /** The entries of the list, in order; at most `MAX_TUPLES`. Draft 1 ends at the first that is all zeros. */
  readonly entries: readonly Entry[];
  /** How many tuples the hypervisor says that there are, unbounded. In draft 1 as many as were found. */
  readonly count: number;
  /** The RNG where it is offered and max_commonhv_leaf reaches its register's leaf; `input`: it takes writes (draft 1: always). */
  readonly rng: (Register & { readonly input: boolean }) | undefined;
  /** Draft 3, likewise; `undefined` too where its index is the RNG's. `acknowledged`: bit 4. */
  readonly generation: (Register & { readonly acknowledged: boolean }) | undefined;
  /** Draft 3, bit 3; `undefined` too where its index is another register's. */
  readonly page: Register | undefined;
  /** Draft 3: the statement that every value is secure. */
  readonly secure: boolean;
  /** All CPUs and the memory of the machine. */
  readonly machine: Machine;
  /** The machine controls. */
  readonly controls: Controls;
  /** Whether MSRs may be read that nobody advertised. */
  readonly probeMsrs: boolean;
}

/** More tuples than any hypervisor has interfaces; a list is read this far. */
export const MAX_TUPLES = 1024;

/** Draft, controls and limits: known before the leaves are read. */
export type Setting = Pick<Implementation, 'draft' | 'machine' | 'controls' | 'probeMsrs'>;

/** Reads the leaves that a draft has, in its order. */
export async function read(setting: Setting, root: Regs, maxLeaf: number): Promise<Implementation> {
  const { draft, machine } = setting;
  const [cpu] = machine.cpus;
  const reached = async (leaf: number): Promise<Regs> =>
    leaf > LEAF_ROOT && leaf <= maxLeaf ? cpu.cpuid(leaf, 0) : ZEROS;
  const interfaces = await reached(LEAF_INTERFACES);
  const features = await reached(LEAF_FEATURES);
  const registers = draft === 1 ? ZEROS : await reached(LEAF_MSRS);
  const entries = maxLeaf >= LEAF_INTERFACES ? await list(cpu, draft, interfaces) : [];
  const count = draft === 1 ? entries.length : decodeCount(interfaces).count;
  const read = { root, maxLeaf, interfaces, features, registers, entries, count };
  return { ...setting, ...cpu, ...read, ...provided(draft, maxLeaf, features, registers) };
}

async function list(cpu: Cpu, draft: Draft, first: Regs): Promise<readonly Entry[]> {
  const entries: Entry[] = [];
  if (draft === 1) {
    // "CPUID with EAX = 0x4F000001 and ECX >= N MUST return all zeros": so N is where the zeros begin.
    for (let subleaf = 0; subleaf < MAX_TUPLES; subleaf++) {
      const regs = subleaf === 0 ? first : await cpu.cpuid(LEAF_INTERFACES, subleaf);
      if (isZeros(regs)) break;
      entries.push({ subleaf, regs });
    }
    return entries;
  }
  // READING: draft 2 says "for each 1 < i <= N", which would leave entry 1 undefined; we take 1 <= i <= N.
  for (let subleaf = 1; subleaf <= Math.min(decodeCount(first).count, MAX_TUPLES); subleaf++) {
    const regs = await cpu.cpuid(LEAF_INTERFACES, subleaf);
    if (!isZeros(regs)) entries.push({ subleaf, regs });
  }
  return entries;
}

function provided(
  draft: Draft,
  maxLeaf: number,
  features: Regs,
  registers: Regs,
): Pick<Implementation, 'rng' | 'generation' | 'page' | 'secure'> {
  const none = { rng: undefined, generation: undefined, page: undefined, secure: false };
  if (draft === 1) {
    const msr = decodeRngIndex(features);
    return { ...none, rng: msr === undefined ? undefined : { msr, input: true } };
  }
  if (maxLeaf < LEAF_MSRS) return none;
  const offered = decodeFeatures(features);
  const at = decodeMsrLeaf(registers);
  const rng = offered.rng ? { msr: at.rng, input: offered.rngInput } : undefined;
  if (draft === 2) return { ...none, rng };
  // One index for two registers is the first one's: msrs.two and the like tell.
  const hasGeneration = offered.generation && at.generation !== rng?.msr;
  const generation = hasGeneration ? { msr: at.generation, acknowledged: offered.ack } : undefined;
  const hasPage = offered.page && offered.generation && at.page !== rng?.msr && at.page !== generation?.msr;
  return { rng, generation, page: hasPage ? { msr: at.page } : undefined, secure: at.secure === true };
}

export function isZeros({ eax, ebx, ecx, edx }: Regs): boolean {
  return eax === 0 && ebx === 0 && ecx === 0 && edx === 0;
}

export function regsEqual(a: Regs, b: Regs): boolean {
  return a.eax === b.eax && a.ebx === b.ebx && a.ecx === b.ecx && a.edx === b.edx;
}

/** Registers as a report shows them. */
export function show({ eax, ebx, ecx, edx }: Regs): string {
  return `EAX ${hex(eax)} EBX ${hex(ebx)} ECX ${hex(ecx)} EDX ${hex(edx)}`;
}

/** The same promise for the same implementation. */
export function once<T>(
  take: (implementation: Implementation) => Promise<T>,
): (implementation: Implementation) => Promise<T> {
  const taken = new WeakMap<Implementation, Promise<T>>();
  return (implementation) => {
    const already = taken.get(implementation) ?? take(implementation);
    taken.set(implementation, already);
    return already;
  };
}

/** Rows of questions by which a quick CPU is known, and the time of one question of the quickest row, in milliseconds. */
const QUICK_ROWS = 20;
const QUICK_ROW = 8;
const QUICK_MS = 0.015;
/** After so many rows, each so many times too slow, no row will be quick: the first ones of a process are compiled meanwhile. */
const SLOW_ROWS = 4;
const SLOW_FACTOR = 3;

/** Whether a question costs next to nothing, as in this process; over a serial line fewer are asked. */
export const isQuick = once(async ({ cpuid }: Implementation): Promise<boolean> => {
  let quickest = Number.POSITIVE_INFINITY;
  for (let row = 0; row < QUICK_ROWS; row++) {
    const start = performance.now();
    for (let i = 0; i < QUICK_ROW; i++) await cpuid(LEAF_ROOT, 0);
    quickest = Math.min(quickest, (performance.now() - start) / QUICK_ROW);
    if (quickest <= QUICK_MS) return true;
    if (row + 1 >= SLOW_ROWS && quickest > SLOW_FACTOR * QUICK_MS) return false;
  }
  return false;
});
