/** Statistics of long rows of random values: bits that are more often 0 than 1, that repeat, and bytes that are missing. */

/** A shorter row says nothing. */
const MIN_VALUES = 1024;
/** Distance from the mean, in standard deviations: random values are so far from it less than once in 2^60 rows. */
const FAR = 9;
/** Distances between two values whose bits are compared. */
const LAGS = [1, 2, 3, 4, 8] as const;

/** A bias of the values, in one line without any of them; `undefined` proves nothing. */
export function biasOf(values: readonly bigint[]): string | undefined {
  if (values.length < MIN_VALUES) return undefined;
  const low = Uint32Array.from(values, (value) => Number(value & 0xffff_ffffn));
  const high = Uint32Array.from(values, (value) => Number(value >> 32n));
  return biasedBit(low, 0) ?? biasedBit(high, 32) ?? biasedByte([low, high]);
}

/** Whether so many ones of `count` fair bits are no accident. */
const isFar = (ones: number, count: number): boolean =>
  Math.abs(ones - count / 2) > (FAR * Math.sqrt(count)) / 2;

/** How many of the words have each bit. */
function onesOf(words: Uint32Array): Uint32Array {
  const counts = new Uint32Array(32);
  for (const word of words) for (let bit = 0; bit < 32; bit++) counts[bit]! += (word >>> bit) & 1;
  return counts;
}

function biasedBit(words: Uint32Array, shift: number): string | undefined {
  const { length } = words;
  const biased = onesOf(words).findIndex((ones) => isFar(ones, length));
  if (biased >= 0) return `bit ${shift + biased} that is seldom or often 1`;
  for (const lag of LAGS) {
    const changes = onesOf(words.subarray(lag).map((word, i) => word ^ words[i]!));
    const bound = changes.findIndex((ones) => isFar(ones, length - lag));
    if (bound >= 0) return `bit ${shift + bound} that depends on the value ${lag} before`;
  }
  return undefined;
}

/** Pearson's chi-squared of all bytes: 255 degrees of freedom. */
function biasedByte(all: readonly Uint32Array[]): string | undefined {
  const counts = new Uint32Array(256);
  for (const words of all)
    for (const word of words) for (let shift = 0; shift < 32; shift += 8) counts[(word >>> shift) & 0xff]!++;
  const expected = (all.length * all[0]!.length * 4) / 256;
  const squares = counts.reduce((sum, count) => sum + (count - expected) ** 2, 0) / expected;
  return squares > 255 + (FAR + 3) * Math.sqrt(2 * 255) ? 'bytes of unlike frequency' : undefined;
}
