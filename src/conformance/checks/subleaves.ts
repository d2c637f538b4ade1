/** Subleaves that a text does not mention, chosen so that mistakes in an index show. */
import { LEAF_INTERFACES } from '../../spec/index.ts';
import { type Implementation, isQuick, MAX_TUPLES } from '../implementation.ts';

/** A register of 32 bits has room for mistakes at both ends. */
export const ODD_SUBLEAVES = [1, 2, 0xff, 0xffff, 0x1_0000, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff];

/** Subleaves spread over the whole range, evenly by their logarithms, on a CPU that answers at once. */
const SPREAD = 1024;
const GOLDEN = (Math.sqrt(5) - 1) / 2;

/** Subleaves that alias a list where an implementation looks at some bits of ECX alone, and both ends of the range. */
function aliases(first: number): readonly number[] {
  const powers = Array.from({ length: 25 }, (_, i) => 2 ** (i + 7));
  const tens = [1_000, 10_000, 100_000, 1_000_000, 10_000_000];
  const some = [...powers, ...tens].flatMap((power) => [power - 1, power, power + 1, power + 2]);
  return [...some, ...ODD_SUBLEAVES, 0xffff_fffe].filter((i) => i >= first && i <= 0xffff_ffff);
}

/** Numbers from 2^7 to 2^32 - 1. */
const spread = Array.from({ length: SPREAD }, (_, i) => Math.floor(2 ** (7 + 25 * ((i * GOLDEN) % 1))));

/** The first subleaf past the list of tuples. */
export const firstPast = ({ draft, entries, count }: Implementation): number =>
  draft === 1 ? entries.length : count + 1;

/** Draft 1 has no count: a list that is not read to its end may go on. */
export const isOpen = ({ draft, entries }: Implementation): boolean =>
  draft === 1 && entries.length >= MAX_TUPLES;

/** Subleaves far past the list, each once. */
export async function farPast(implementation: Implementation): Promise<readonly number[]> {
  if (isOpen(implementation)) return [0x7fff_ffff, 0x8000_0000, 0xffff_ffff];
  const first = firstPast(implementation);
  const more = (await isQuick(implementation)) ? spread.filter((i) => i >= first) : [];
  return [...new Set([...aliases(first), ...more])];
}

/** Subleaves past the list whose answers are compared later: the first ones, and on a quick CPU those far away. */
export async function somePast(
  implementation: Implementation,
): Promise<readonly (readonly [leaf: number, subleaf: number])[]> {
  if (implementation.maxLeaf < LEAF_INTERFACES || isOpen(implementation)) return [];
  const quick = await isQuick(implementation);
  const first = firstPast(implementation);
  const near = Array.from({ length: quick ? 128 : 2 }, (_, i) => first + i);
  const far = quick ? (await farPast(implementation)).filter((_, i) => i % 8 === 0) : [];
  const all = [...near, ...far];
  return all.filter((i) => i <= 0xffff_ffff).map((i) => [LEAF_INTERFACES, i] as const);
}
