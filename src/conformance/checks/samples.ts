/** What several checks look at, taken from the machine once: words, what became of writes, values of the generation. */
import type { Fault } from '../../cpu.ts';
import { isU32, type Subject } from '../subject.ts';

/** Enough that a bit that never moves is no accident: 2 * 64 bits at 2^-64 each. */
export const WORDS = 64;

export interface Write {
  readonly value: bigint;
  readonly fault: Fault | undefined;
  /** The words that were read right after it. */
  readonly after: readonly (bigint | Fault)[];
}

/** Values that stand out when they come back; the first two are what a broken mixer would be lowered by. */
const INPUTS = [
  0n,
  0xffff_ffff_ffff_ffffn,
  0x0123_4567_89ab_cdefn,
  0xfeed_face_cafe_f00dn,
  0x8000_0000_0000_0001n,
  0x5555_aaaa_3333_ccccn,
  0x1122_3344_5566_7788n,
  0xc001_d00d_dead_beefn,
];

/** The same promise for the same subject. */
export function once<T>(take: (subject: Subject) => Promise<T>): (subject: Subject) => Promise<T> {
  const taken = new WeakMap<Subject, Promise<T>>();
  return (subject) => {
    const already = taken.get(subject) ?? take(subject);
    taken.set(subject, already);
    return already;
  };
}

/** What the neighbours of the advertised registers answered before anything was asked of those. */
export const neighboursOf = once(async ({ rng, generation, rdmsr }) => {
  const own = [rng?.msr, generation?.msr].filter((msr) => msr !== undefined);
  const near = own.flatMap((msr) => [msr - 1, msr + 1]).filter((msr) => isU32(msr) && !own.includes(msr));
  const answers = new Map<number, bigint | Fault>();
  for (const msr of near) answers.set(msr, await rdmsr(msr));
  return answers;
});

/** `WORDS` words in a row; none where no RNG is advertised. */
export const wordsOf = once(async (subject) => {
  const words: (bigint | Fault)[] = [];
  if (subject.rng === undefined) return words;
  await neighboursOf(subject);
  for (let i = 0; i < WORDS; i++) words.push(await subject.rdmsr(subject.rng.msr));
  return words;
});

/** Each of `INPUTS` written, and four words read after it; the words in a row are read first. */
export const writesOf = once(async (subject) => {
  const writes: Write[] = [];
  if (subject.rng === undefined) return writes;
  await wordsOf(subject);
  for (const value of INPUTS) {
    const fault = await subject.wrmsr(subject.rng.msr, value);
    const after: (bigint | Fault)[] = [];
    for (let i = 0; i < 4; i++) after.push(await subject.rdmsr(subject.rng.msr));
    writes.push({ value, fault, after });
  }
  return writes;
});

/** The generation, read in a row; none where it is not advertised. */
export const generationValues = once(async (subject) => {
  const { generation } = subject;
  if (generation === undefined) return [];
  await neighboursOf(subject);
  const values: (bigint | Fault)[] = [];
  for (let i = 0; i < 17; i++) values.push(await subject.rdmsr(generation.msr));
  return values;
});

/** A machine that came back from a saved state: what its registers answered first. */
export interface Revival {
  readonly how: 'restore' | 'resume';
  readonly generation: readonly (bigint | Fault)[];
  readonly words: readonly (bigint | Fault)[];
  /** What is to be said of a leaf that is not what it was. */
  readonly changed: string | undefined;
}

/** Several copies of one saved state: one in place and two as new machines, or as many of the one kind that there is. */
export function revivals(
  changedLeaf: (subject: Subject, again: Subject) => Promise<string | undefined>,
): (subject: Subject) => Promise<readonly Revival[]> {
  return once(async (subject) => {
    const done: Revival[] = [];
    for (const how of ['restore', 'resume'] as const) {
      const deed = subject.deeds[how];
      const copies = how === 'restore' && subject.deeds.resume !== undefined ? 1 : 2;
      for (let i = 0; deed !== undefined && i < copies; i++) {
        const again = { ...subject, ...subject.check(await deed()) };
        const generation: (bigint | Fault)[] = [];
        const words: (bigint | Fault)[] = [];
        for (let j = 0; subject.generation && j < 4; j++)
          generation.push(await again.rdmsr(subject.generation.msr));
        for (let j = 0; subject.rng && j < 4; j++) words.push(await again.rdmsr(subject.rng.msr));
        done.push({ how, generation, words, changed: await changedLeaf(subject, again) });
      }
    }
    return done;
  });
}
