/** Faulty hypervisors: random values, and guest input. */
import { type Fault, GP } from '../../cpu.ts';
import { LOW, splitMix } from './fault.ts';
import { type FaultyHypervisor, faulty, type MakeFaulty, read, reads, writes } from './faulty.ts';

const ALL = 0xffff_ffff_ffff_ffffn;

/** Values that are right but for `change`, which sees only values. */
const values = (change: (value: bigint, before: number) => bigint): MakeFaulty =>
  reads('rng', (value, before) => (typeof value === 'bigint' ? change(value, before) : value));

/** One value for ever. */
function stuck(): MakeFaulty {
  return faulty((correct) => {
    const value = correct.rdmsr(correct.rng);
    return { rdmsr: (index) => (index === correct.rng ? value : correct.rdmsr(index)) };
  });
}

function twice(): MakeFaulty {
  return faulty((correct) => {
    let kept: bigint | Fault | undefined;
    return {
      rdmsr(index) {
        if (index !== correct.rng) return correct.rdmsr(index);
        const again = kept;
        kept = again === undefined ? correct.rdmsr(index) : undefined;
        return again ?? kept ?? 0n;
      },
    };
  });
}

/** A clock: it grows by a little with each read, in both halves. */
function clock(): MakeFaulty {
  return faulty((correct) => {
    const start = correct.rdmsr(correct.rng);
    let now = typeof start === 'bigint' ? start >> 8n : 0n;
    return {
      rdmsr(index) {
        if (index !== correct.rng) return correct.rdmsr(index);
        now += 0x1_0000_0101n;
        return now;
      },
    };
  });
}

/** A generator whose state comes back with the machine's, from a fixed seed. */
const savedState: MakeFaulty = (good, draft) => (host) => {
  const correct = read(good(host), draft);
  let count = 0;
  return {
    ...correct,
    rdmsr: (index) => (index === correct.rng ? splitMix(42n, ++count) : correct.rdmsr(index)),
    restored(saved) {
      count = 0;
      correct.restored?.(saved);
    },
  };
};

/** The written value comes out again with the next read. */
function echo(form: (value: bigint) => bigint): MakeFaulty {
  return faulty((correct) => {
    let written: bigint | undefined;
    return {
      rdmsr(index) {
        if (index !== correct.rng || written === undefined) return correct.rdmsr(index);
        const value = form(written);
        written = undefined;
        return value;
      },
      wrmsr(index, value) {
        if (index === correct.rng) written = value;
        return correct.wrmsr(index, value);
      },
    };
  });
}

/** Takes a write for a new seed, and makes every value of it. */
function seeded(): MakeFaulty {
  return faulty((correct) => {
    let seed: bigint | undefined;
    return {
      rdmsr: (index) =>
        index === correct.rng && seed !== undefined
          ? BigInt.asUintN(64, (seed + 1n) * 0x9e37_79b9_7f4a_7c15n)
          : correct.rdmsr(index),
      wrmsr(index, value) {
        if (index === correct.rng) seed = value;
        return correct.wrmsr(index, value);
      },
    };
  });
}

export const rng: readonly FaultyHypervisor[] = [
  {
    rule: 'rng.exception',
    drafts: [1, 2, 3],
    title: 'raises #GP when it has nothing, at every eighth read',
    makeFaulty: reads('rng', (value, before) => (before % 8 === 7 ? GP : value)),
  },
  { rule: 'rng.constant', drafts: [3], title: 'returns one value for ever', makeFaulty: stuck() },
  { rule: 'rng.constant', drafts: [3], title: 'returns zeros', makeFaulty: values(() => 0n) },
  { rule: 'rng.different', drafts: [1, 2], title: 'returns one value for ever', makeFaulty: stuck() },
  {
    rule: 'rng.different',
    drafts: [1, 2, 3],
    title: 'returns every value twice',
    secure: false,
    makeFaulty: twice(),
  },
  {
    rule: 'rng.width',
    drafts: [1, 2, 3],
    title: 'returns 32 bits and leaves EDX alone',
    secure: false,
    makeFaulty: values((value) => value & LOW),
  },
  {
    rule: 'rng.width',
    drafts: [1, 2, 3],
    title: 'returns 32 bits in EDX and ones in EAX',
    secure: false,
    makeFaulty: values((value) => value | LOW),
  },
  {
    rule: 'rng.quality',
    drafts: [1, 2, 3],
    title: 'never sets bit 63 of a value',
    secure: false,
    makeFaulty: values((value) => value & (ALL >> 1n)),
  },
  {
    rule: 'rng.quality',
    drafts: [1, 2, 3],
    title: 'returns the same 32 bits in both halves',
    secure: false,
    makeFaulty: values((value) => (value & LOW) | ((value & LOW) << 32n)),
  },
  {
    rule: 'rng.quality',
    drafts: [1, 2, 3],
    title: 'returns a clock',
    secure: false,
    makeFaulty: clock(),
  },
  {
    rule: 'rng.write',
    drafts: [1, 3],
    title: 'raises #GP for a write that it has to accept',
    input: true,
    makeFaulty: writes('rng', GP),
  },
  {
    rule: 'rng.refuse',
    drafts: [3],
    title: 'drops a write that it does not accept, without a value',
    input: false,
    makeFaulty: writes('rng', undefined),
  },
  {
    rule: 'rng.echo',
    drafts: [1, 2],
    title: 'returns what was written',
    input: true,
    makeFaulty: echo((value) => value),
  },
  {
    rule: 'rng.echo',
    drafts: [1, 2],
    title: 'returns what was written with its halves swapped',
    input: true,
    makeFaulty: echo((value) => (value >> 32n) | ((value & LOW) << 32n)),
  },
  {
    rule: 'rng.lowered',
    drafts: [3],
    title: 'returns the value that was written',
    input: true,
    makeFaulty: echo((value) => value),
  },
  {
    rule: 'rng.lowered',
    drafts: [3],
    title: 'makes every value of the last write',
    input: true,
    makeFaulty: seeded(),
  },
  {
    rule: 'rng.different',
    drafts: [1, 2],
    title: 'makes every value of the last write',
    input: true,
    makeFaulty: seeded(),
  },
  {
    rule: 'rng.saved',
    drafts: [1, 2, 3],
    title: "keeps its generator in the machine's saved state",
    makeFaulty: savedState,
  },
  {
    rule: 'rng.neighbours',
    drafts: [1, 2, 3],
    title: 'counts its reads in the MSR before',
    probeMsrs: true,
    makeFaulty: faulty((correct) => {
      let count = 0n;
      // The MSR before the RNG: the one after it may be the generation.
      const next = correct.rng - 1;
      return {
        rdmsr(index) {
          if (index === next) return count;
          if (index === correct.rng) count++;
          return correct.rdmsr(index);
        },
      };
    }),
  },
];
