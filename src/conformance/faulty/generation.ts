/** Faulty hypervisors: the generation. */
import { type Fault, GP } from '../../cpu.ts';
import { type FaultyHypervisor, faulty, type MakeFaulty, read, reads, writes } from './faulty.ts';

/** The value of the first machine, in every copy of it. */
function kept(): MakeFaulty {
  return (good, draft) => {
    let value: bigint | Fault | undefined;
    return (host) => {
      const correct = read(good(host), draft);
      value ??= correct.rdmsr(correct.generation);
      const first = value;
      return { ...correct, rdmsr: (index) => (index === correct.generation ? first : correct.rdmsr(index)) };
    };
  };
}

/** The new value is there, one read too late. */
function late(): MakeFaulty {
  return (good, draft) => {
    let before: bigint | Fault | undefined;
    return (host) => {
      const correct = read(good(host), draft);
      let old = before;
      return {
        ...correct,
        rdmsr(index) {
          if (index !== correct.generation) return correct.rdmsr(index);
          const now = correct.rdmsr(index);
          const answer = old ?? now;
          old = undefined;
          before = now;
          return answer;
        },
        restored(saved) {
          old = correct.rdmsr(correct.generation);
          correct.restored?.(saved);
        },
      };
    };
  };
}

/** A number counted up from the saved one: every copy of a saved state counts to the same. */
function counted(): MakeFaulty {
  return (good, draft) => {
    let start: bigint | undefined;
    return (host) => {
      const correct = read(good(host), draft);
      const first = correct.rdmsr(correct.generation);
      let value = start === undefined ? (first as bigint) : start + 1n;
      start ??= value;
      return {
        ...correct,
        rdmsr: (index) => (index === correct.generation ? value : correct.rdmsr(index)),
        restored(saved) {
          value = start! + 1n;
          correct.restored?.(saved);
        },
      };
    };
  };
}

const renewedByPause: MakeFaulty = faulty((correct) => {
  let offset = 0n;
  return {
    rdmsr(index) {
      const value = correct.rdmsr(index);
      return index === correct.generation && typeof value === 'bigint' ? value ^ offset : value;
    },
    paused() {
      offset++;
    },
  };
});

const onePerVcpu: MakeFaulty = faulty((correct) => ({
  second: {
    ...correct,
    rdmsr(index) {
      const value = correct.rdmsr(index);
      return index === correct.generation && typeof value === 'bigint' ? value ^ 1n : value;
    },
  },
}));

export const generation: readonly FaultyHypervisor[] = [
  {
    rule: 'generation.exception',
    drafts: [3],
    title: 'raises #GP at every fourth read',
    makeFaulty: reads('generation', (value, before) => (before % 4 === 3 ? GP : value)),
  },
  {
    rule: 'generation.same',
    drafts: [3],
    title: 'returns another value each time',
    makeFaulty: reads('generation', (value, before) =>
      typeof value === 'bigint' ? value ^ BigInt(before) : value,
    ),
  },
  { rule: 'generation.same', drafts: [3], title: 'has one value for each vCPU', makeFaulty: onePerVcpu },
  {
    rule: 'generation.restored',
    drafts: [3],
    title: 'keeps its value when the machine is restored',
    makeFaulty: kept(),
  },
  {
    rule: 'generation.restored',
    drafts: [3],
    title: 'renews its value one read too late',
    makeFaulty: late(),
  },
  {
    rule: 'generation.halves-restored',
    drafts: [3],
    title: 'counts restores in what was saved',
    makeFaulty: counted(),
  },
  {
    rule: 'generation.write',
    drafts: [3],
    title: 'drops a write without a value',
    makeFaulty: writes('generation', undefined),
  },
  {
    rule: 'generation.write',
    drafts: [3],
    title: 'raises #UD for a write',
    makeFaulty: writes('generation', '#UD'),
  },
  { rule: 'generation.pause', drafts: [3], title: 'renews its value at a pause', makeFaulty: renewedByPause },
];
