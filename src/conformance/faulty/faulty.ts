/** Faulty hypervisors: each a transformer of layers, wrong in one way; and the pieces that most of them are made of. */
import { type Fault, type Layer, lifecycle, type Regs, type SyncCpu } from '../../cpu.ts';
import {
  type Draft,
  decodeCount,
  decodeFeatures,
  decodeMsrLeaf,
  decodeRngIndex,
  LEAF_FEATURES,
  LEAF_INTERFACES,
  LEAF_MSRS,
} from '../../spec/index.ts';
import type { Rule } from '../rule.ts';

/** A processor under a faulty hypervisor. The two extras belong to a whole machine, and a layer does not see them. */
export interface FaultyCpu extends SyncCpu {
  /** The machine was paused and goes on. */
  paused?(): void;
  /** The machine's second virtual CPU, where it differs. */
  readonly second?: SyncCpu | undefined;
}

/** A hypervisor that is right but for one thing. */
export interface FaultyHypervisor {
  /** The rule that it breaks, in each of `drafts`. */
  readonly rule: Rule['id'];
  /** The drafts of which it makes a wrong hypervisor. */
  readonly drafts: readonly Draft[];
  /** The fault in a few words: a verb first. */
  readonly title: string;
  /** Whether the correct hypervisor beneath has to accept, or to refuse, what guests write to the RNG; absent: either. */
  readonly input?: boolean | undefined;
  /** `false`: the right hypervisor makes no statement that its values are secure; with one the rule is msrs.secure. */
  readonly secure?: false | undefined;
  /** It is seen only where MSRs may be read that nobody advertised. */
  readonly probeMsrs?: true | undefined;
  /** Makes the wrong layer of a right one of the draft, with at least one interface, an RNG and (draft 3) a generation. */
  makeFaulty(good: Layer, draft: Draft): (host: SyncCpu) => FaultyCpu;
}

export type MakeFaulty = FaultyHypervisor['makeFaulty'];

/** The right answers, where the registers are, and how many tuples there are. */
export interface CorrectCpu extends SyncCpu {
  readonly draft: Draft;
  readonly rng: number;
  /** -1 in drafts 1 and 2: no index at all. */
  readonly generation: number;
  readonly count: number;
  /** The subleaf of the first tuple. */
  readonly first: number;
}

/** A fault in the answers of one layer; answers that `change` leaves out stay right. */
export function faulty(change: (correct: CorrectCpu) => Partial<FaultyCpu>): MakeFaulty {
  return (good, draft) => (host) => {
    const correct = read(good(host), draft);
    const { cpuid, rdmsr, wrmsr } = correct;
    return { ...lifecycle(correct), cpuid, rdmsr, wrmsr, ...change(correct) };
  };
}

/** Reads the right layer as the draft has it. */
export function read(cpu: SyncCpu, draft: Draft): CorrectCpu {
  const features = cpu.cpuid(LEAF_FEATURES, 0);
  const registers = decodeMsrLeaf(cpu.cpuid(LEAF_MSRS, 0));
  const offered = decodeFeatures(features).generation && draft === 3;
  return {
    ...cpu,
    draft,
    rng: draft === 1 ? (decodeRngIndex(features) ?? -1) : registers.rng,
    generation: offered ? registers.generation : -1,
    count: draft === 1 ? countOfDraft1(cpu) : decodeCount(cpu.cpuid(LEAF_INTERFACES, 0)).count,
    first: draft === 1 ? 0 : 1,
  };
}

function countOfDraft1(cpu: SyncCpu): number {
  for (let i = 0; ; i++) {
    const { eax, ebx, ecx, edx } = cpu.cpuid(LEAF_INTERFACES, i);
    if ((eax | ebx | ecx | edx) === 0 || i === 256) return i;
  }
}

/** A lie in one leaf, in one of its subleaves or in all. */
export function leaf(
  which: number,
  subleaf: number | 'all' | ((correct: CorrectCpu) => number),
  change: (regs: Regs, correct: CorrectCpu) => Partial<Regs>,
): MakeFaulty {
  return faulty((correct) => {
    const only = typeof subleaf === 'function' ? subleaf(correct) : subleaf;
    return {
      cpuid(asked, sub) {
        const regs = correct.cpuid(asked, sub);
        return asked === which && (only === 'all' || only === sub)
          ? { ...regs, ...change(regs, correct) }
          : regs;
      },
    };
  });
}

/** A fault in the reads of one register: `change` is told how many reads there were before. */
export function reads(
  register: 'rng' | 'generation',
  change: (value: bigint | Fault, before: number) => bigint | Fault,
): MakeFaulty {
  return faulty((correct) => {
    let count = 0;
    return {
      rdmsr: (index) =>
        index === correct[register] ? change(correct.rdmsr(index), count++) : correct.rdmsr(index),
    };
  });
}

/** A fault in the result of a write to one register. */
export function writes(register: 'rng' | 'generation', answer: Fault | undefined): MakeFaulty {
  return faulty((correct) => ({
    wrmsr: (index, value) => (index === correct[register] ? answer : correct.wrmsr(index, value)),
  }));
}
