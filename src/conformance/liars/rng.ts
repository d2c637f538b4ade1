/** Liars about the words, and about what becomes of a guest's writes. */
import { GP } from '../../cpu.ts';
import { type Liar, type Lie, lying, read, reads, writes } from './lie.ts';

const LOW = 0xffff_ffffn;
const ALL = 0xffff_ffff_ffff_ffffn;

/** Words that are right but for `change`, which sees only words. */
const words = (change: (word: bigint, before: number) => bigint): Lie =>
  reads('rng', (value, before) => (typeof value === 'bigint' ? change(value, before) : value));

/** One word for ever. */
function stuck(): Lie {
  return lying((honest) => {
    const word = honest.rdmsr(honest.rng);
    return { rdmsr: (index) => (index === honest.rng ? word : honest.rdmsr(index)) };
  });
}

function twice(): Lie {
  return lying((honest) => {
    let kept: bigint | '#GP' | '#UD' | undefined;
    return {
      rdmsr(index) {
        if (index !== honest.rng) return honest.rdmsr(index);
        const again = kept;
        kept = again === undefined ? honest.rdmsr(index) : undefined;
        return again ?? kept ?? 0n;
      },
    };
  });
}

/** A clock: it grows by a little with each read, in both halves. */
function clock(): Lie {
  return lying((honest) => {
    const start = honest.rdmsr(honest.rng);
    let now = typeof start === 'bigint' ? start >> 8n : 0n;
    return {
      rdmsr(index) {
        if (index !== honest.rng) return honest.rdmsr(index);
        now += 0x1_0000_0101n;
        return now;
      },
    };
  });
}

/** A generator whose state comes back with the machine's: Steele, Lea and Flood's SplitMix64, from a fixed seed. */
const savedState: Lie = (good, draft) => (below) => {
  const honest = read(good(below), draft);
  let state = 42n;
  return {
    ...honest,
    rdmsr(index) {
      if (index !== honest.rng) return honest.rdmsr(index);
      state = BigInt.asUintN(64, state + 0x9e37_79b9_7f4a_7c15n);
      let word = BigInt.asUintN(64, (state ^ (state >> 30n)) * 0xbf58_476d_1ce4_e5b9n);
      word = BigInt.asUintN(64, (word ^ (word >> 27n)) * 0x94d0_49bb_1331_11ebn);
      return word ^ (word >> 31n);
    },
    restored() {
      state = 42n;
      honest.restored?.();
    },
  };
};

/** What was written comes out again with the next read. */
function echo(form: (value: bigint) => bigint): Lie {
  return lying((honest) => {
    let written: bigint | undefined;
    return {
      rdmsr(index) {
        if (index !== honest.rng || written === undefined) return honest.rdmsr(index);
        const word = form(written);
        written = undefined;
        return word;
      },
      wrmsr(index, value) {
        if (index === honest.rng) written = value;
        return honest.wrmsr(index, value);
      },
    };
  });
}

/** Takes a write for a new seed, and makes every word of it. */
function seeded(): Lie {
  return lying((honest) => {
    let seed: bigint | undefined;
    return {
      rdmsr: (index) =>
        index === honest.rng && seed !== undefined
          ? BigInt.asUintN(64, (seed + 1n) * 0x9e37_79b9_7f4a_7c15n)
          : honest.rdmsr(index),
      wrmsr(index, value) {
        if (index === honest.rng) seed = value;
        return honest.wrmsr(index, value);
      },
    };
  });
}

export const rng: readonly Liar[] = [
  {
    rule: 'rng.exception',
    drafts: [1, 2, 3],
    title: 'raises #GP when it has nothing, at every eighth read',
    lie: reads('rng', (value, before) => (before % 8 === 7 ? GP : value)),
  },
  { rule: 'rng.constant', drafts: [3], title: 'returns one word for ever', lie: stuck() },
  { rule: 'rng.constant', drafts: [3], title: 'returns zeros', lie: words(() => 0n) },
  { rule: 'rng.different', drafts: [1, 2], title: 'returns one word for ever', lie: stuck() },
  { rule: 'rng.different', drafts: [1, 2, 3], title: 'returns every word twice', lie: twice() },
  {
    rule: 'rng.width',
    drafts: [1, 2, 3],
    title: 'returns 32 bits and leaves EDX alone',
    lie: words((word) => word & LOW),
  },
  {
    rule: 'rng.width',
    drafts: [1, 2, 3],
    title: 'returns 32 bits in EDX and ones in EAX',
    lie: words((word) => word | LOW),
  },
  {
    rule: 'rng.quality',
    drafts: [1, 2, 3],
    title: 'never sets bit 63 of a word',
    lie: words((word) => word & (ALL >> 1n)),
  },
  {
    rule: 'rng.quality',
    drafts: [1, 2, 3],
    title: 'returns the same 32 bits in both halves',
    lie: words((word) => (word & LOW) | ((word & LOW) << 32n)),
  },
  { rule: 'rng.quality', drafts: [1, 2, 3], title: 'returns a clock', lie: clock() },
  {
    rule: 'rng.write',
    drafts: [1, 3],
    title: 'raises #GP for a write that it has to accept',
    input: true,
    lie: writes('rng', GP),
  },
  {
    rule: 'rng.refuse',
    drafts: [3],
    title: 'drops a write that it does not accept, without a word',
    input: false,
    lie: writes('rng', undefined),
  },
  {
    rule: 'rng.echo',
    drafts: [1, 2, 3],
    title: 'returns what was written',
    input: true,
    lie: echo((value) => value),
  },
  {
    rule: 'rng.echo',
    drafts: [1, 2, 3],
    title: 'returns what was written with its halves swapped',
    input: true,
    lie: echo((value) => (value >> 32n) | ((value & LOW) << 32n)),
  },
  {
    rule: 'rng.lowered',
    drafts: [3],
    title: 'makes every word of the last write',
    input: true,
    lie: seeded(),
  },
  {
    rule: 'rng.different',
    drafts: [1, 2],
    title: 'makes every word of the last write',
    input: true,
    lie: seeded(),
  },
  {
    rule: 'rng.saved',
    drafts: [1, 2, 3],
    title: "keeps its generator in the machine's saved state",
    lie: savedState,
  },
  {
    rule: 'rng.neighbours',
    drafts: [1, 2, 3],
    title: 'counts its reads in the MSR before',
    lie: lying((honest) => {
      let count = 0n;
      // The MSR before the RNG: the one after it may be the generation.
      const next = honest.rng - 1;
      return {
        rdmsr(index) {
          if (index === next) return count;
          if (index === honest.rng) count++;
          return honest.rdmsr(index);
        },
      };
    }),
  },
];
