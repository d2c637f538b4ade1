/** Liars about the generation. */
import { type Fault, GP } from '../../cpu.ts';
import { type Liar, type Lie, lying, read, reads, writes } from './lie.ts';

/** The value of the first machine, in every copy of it. */
function kept(): Lie {
  return (good, draft) => {
    let value: bigint | Fault | undefined;
    return (below) => {
      const honest = read(good(below), draft);
      value ??= honest.rdmsr(honest.generation);
      const first = value;
      return { ...honest, rdmsr: (index) => (index === honest.generation ? first : honest.rdmsr(index)) };
    };
  };
}

/** The new value is there, one read too late. */
function late(): Lie {
  return (good, draft) => {
    let before: bigint | Fault | undefined;
    return (below) => {
      const honest = read(good(below), draft);
      let old = before;
      return {
        ...honest,
        rdmsr(index) {
          if (index !== honest.generation) return honest.rdmsr(index);
          const now = honest.rdmsr(index);
          const answer = old ?? now;
          old = undefined;
          before = now;
          return answer;
        },
        restored() {
          old = honest.rdmsr(honest.generation);
          honest.restored?.();
        },
      };
    };
  };
}

/** A number counted up from the saved one: every copy of a saved state counts to the same. */
function counted(): Lie {
  return (good, draft) => {
    let start: bigint | undefined;
    return (below) => {
      const honest = read(good(below), draft);
      const first = honest.rdmsr(honest.generation);
      let value = start === undefined ? (first as bigint) : start + 1n;
      start ??= value;
      return {
        ...honest,
        rdmsr: (index) => (index === honest.generation ? value : honest.rdmsr(index)),
        restored() {
          value = start! + 1n;
          honest.restored?.();
        },
      };
    };
  };
}

const renewedByPause: Lie = lying((honest) => {
  let offset = 0n;
  return {
    rdmsr(index) {
      const value = honest.rdmsr(index);
      return index === honest.generation && typeof value === 'bigint' ? value ^ offset : value;
    },
    paused() {
      offset++;
    },
  };
});

const onePerVcpu: Lie = lying((honest) => ({
  second: {
    ...honest,
    rdmsr(index) {
      const value = honest.rdmsr(index);
      return index === honest.generation && typeof value === 'bigint' ? value ^ 1n : value;
    },
  },
}));

export const generation: readonly Liar[] = [
  {
    rule: 'generation.exception',
    drafts: [3],
    title: 'raises #GP at every fourth read',
    lie: reads('generation', (value, before) => (before % 4 === 3 ? GP : value)),
  },
  {
    rule: 'generation.same',
    drafts: [3],
    title: 'returns another value each time',
    lie: reads('generation', (value, before) => (typeof value === 'bigint' ? value ^ BigInt(before) : value)),
  },
  { rule: 'generation.same', drafts: [3], title: 'has one value for each vCPU', lie: onePerVcpu },
  {
    rule: 'generation.restored',
    drafts: [3],
    title: 'keeps its value when the machine is restored',
    lie: kept(),
  },
  { rule: 'generation.restored', drafts: [3], title: 'renews its value one read too late', lie: late() },
  { rule: 'generation.restored', drafts: [3], title: 'counts restores in what was saved', lie: counted() },
  {
    rule: 'generation.write',
    drafts: [3],
    title: 'drops a write without a word',
    lie: writes('generation', undefined),
  },
  {
    rule: 'generation.write',
    drafts: [3],
    title: 'raises #UD for a write',
    lie: writes('generation', '#UD'),
  },
  { rule: 'generation.pause', drafts: [3], title: 'renews its value at a pause', lie: renewedByPause },
];
