/** Samples that several checks share, taken from the machine once: random values, results of writes, values of the generation. */
import type { Fault } from '../../cpu.ts';
import { type Implementation, isU32 } from '../implementation.ts';

/** Enough that a bit that never moves is no accident: 2 * 64 bits at 2^-64 each. */
export const VALUE_COUNT = 64;

export interface Write {
  readonly value: bigint;
  readonly fault: Fault | undefined;
  /** The values that were read right after it. */
  readonly after: readonly (bigint | Fault)[];
}

/** Values that stand out when they come back; the first two would lower a broken mixer. */
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

/** The answers of the adjacent MSRs before the advertised registers were read. */
export const adjacentMsrsOf = once(async ({ rng, generation, rdmsr }) => {
  const own = [rng?.msr, generation?.msr].filter((msr) => msr !== undefined);
  const near = own.flatMap((msr) => [msr - 1, msr + 1]).filter((msr) => isU32(msr) && !own.includes(msr));
  const answers = new Map<number, bigint | Fault>();
  for (const msr of near) answers.set(msr, await rdmsr(msr));
  return answers;
});

/** `WORDS` values in a row; none where no RNG is advertised. */
export const randomValuesOf = once(async (implementation) => {
  const values: (bigint | Fault)[] = [];
  if (implementation.rng === undefined) return values;
  await adjacentMsrsOf(implementation);
  for (let i = 0; i < VALUE_COUNT; i++) values.push(await implementation.rdmsr(implementation.rng.msr));
  return values;
});

/** Each of `INPUTS` written, and four values read after it; the values in a row are read first. */
export const writesOf = once(async (implementation) => {
  const writes: Write[] = [];
  if (implementation.rng === undefined) return writes;
  await randomValuesOf(implementation);
  for (const value of INPUTS) {
    const fault = await implementation.wrmsr(implementation.rng.msr, value);
    const after: (bigint | Fault)[] = [];
    for (let i = 0; i < 4; i++) after.push(await implementation.rdmsr(implementation.rng.msr));
    writes.push({ value, fault, after });
  }
  return writes;
});

/** The generation, read in a row; none where it is not advertised. */
export const generationValues = once(async (implementation) => {
  const { generation } = implementation;
  if (generation === undefined) return [];
  await adjacentMsrsOf(implementation);
  const values: (bigint | Fault)[] = [];
  for (let i = 0; i < 17; i++) values.push(await implementation.rdmsr(generation.msr));
  return values;
});

/** A machine that was restored from a saved state: the first answers of its registers. */
export interface RestoredCopy {
  readonly how: 'restore' | 'resume';
  readonly generation: readonly (bigint | Fault)[];
  readonly values: readonly (bigint | Fault)[];
  /** The message about a leaf that changed. */
  readonly changed: string | undefined;
}

/** Several copies of one saved state: one in place and two as new machines, or as many of the one kind that there is. */
export function restoredCopies(
  changedLeaf: (implementation: Implementation, again: Implementation) => Promise<string | undefined>,
): (implementation: Implementation) => Promise<readonly RestoredCopy[]> {
  return once(async (implementation) => {
    const done: RestoredCopy[] = [];
    for (const how of ['restore', 'resume'] as const) {
      const control = implementation.controls[how];
      const copies = how === 'restore' && implementation.controls.resume !== undefined ? 1 : 2;
      for (let i = 0; control !== undefined && i < copies; i++) {
        const again = { ...implementation, ...implementation.checkAnswers(await control()) };
        const generation: (bigint | Fault)[] = [];
        const values: (bigint | Fault)[] = [];
        for (let j = 0; implementation.generation && j < 4; j++)
          generation.push(await again.rdmsr(implementation.generation.msr));
        for (let j = 0; implementation.rng && j < 4; j++)
          values.push(await again.rdmsr(implementation.rng.msr));
        done.push({ how, generation, values: values, changed: await changedLeaf(implementation, again) });
      }
    }
    return done;
  });
}
