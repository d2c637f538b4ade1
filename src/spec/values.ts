/** Values that no random generator returns: one definition, for guests that seed from the RNG and for the conformance suite. */

/** A pattern in a row of 64-bit values. `repeated`: one came twice; `stuck`, `step`, `alike`: lanes of bits, see `flawOf`. */
export interface Flaw {
  readonly kind: 'repeated' | 'stuck' | 'step' | 'alike';
  /** Bits of the lane: 64, 32, 16, 8 or 1. */
  readonly width: number;
  /** One line, without any of the values. */
  readonly text: string;
}

const WIDTHS = [32, 16, 8, 1] as const;
/** Each test is made only where random values pass it by accident less than once in 2^MIN_BITS rows. */
const MIN_BITS = 40;

/**
 * A pattern that a few values betray: the same value twice; a lane (64, 32, 16, 8 or 1 aligned bits) that never changes, or that
 * changes by a constant or a small step; two lanes of one value that always differ by the same. Random values show one of
 * them less than once in 2^32 rows of 8 values. `undefined` proves nothing: a generator that passes may still be a bad one.
 */
export function flawOf(values: readonly bigint[]): Flaw | undefined {
  if (new Set(values).size < values.length)
    return { kind: 'repeated', width: 64, text: `a value that comes twice in ${values.length}` };
  const halves = values.map((value) => [Number(value & 0xffff_ffffn), Number(value >> 32n)] as const);
  const lane: Lane = (shift, width) => {
    const mask = 2 ** width - 1;
    return (i) => ((halves[i]![shift >> 5]! >>> (shift & 31)) & mask) >>> 0;
  };
  const { length } = values;
  return (
    bitOfBytes(halves) ??
    lanes(lane, length, stuck) ??
    whole(values) ??
    lanes(lane, length, stepping) ??
    alike(lane, length)
  );
}

/** A bit that is the same in every byte of all values, as the top bit of text is. */
function bitOfBytes(halves: readonly (readonly [number, number])[]): Flaw | undefined {
  if (8 * halves.length - 1 < MIN_BITS) return undefined;
  const first = Math.imul(halves[0]![0] & 0xff, 0x0101_0101);
  let words = 0;
  for (const [low, high] of halves) words |= (low ^ first) | (high ^ first);
  const changed = (words | (words >>> 8) | (words >>> 16) | (words >>> 24)) & 0xff;
  if (changed === 0xff) return undefined;
  return { kind: 'stuck', width: 1, text: 'a bit that is the same in every byte' };
}

/** The lane's bits in the value at an index. */
type At = (index: number) => number;
type Lane = (shift: number, width: number) => At;
type LaneFlaw = (at: At, length: number, width: number) => Pick<Flaw, 'kind' | 'text'> | undefined;

/** The first flaw of a lane, the widest lanes first. */
function lanes(lane: Lane, length: number, flawed: LaneFlaw): Flaw | undefined {
  for (const width of WIDTHS) {
    for (let shift = 0; shift < 64; shift += width) {
      const flaw = flawed(lane(shift, width), length, width);
      const name = width === 1 ? `bit ${shift}` : `bits ${shift + width - 1} to ${shift}`;
      if (flaw !== undefined) return { kind: flaw.kind, width, text: `${name} ${flaw.text}` };
    }
  }
  return undefined;
}

/** Whether all of `length` results are the first one. */
function isConstant(at: At, length: number): boolean {
  const first = at(0);
  for (let i = 1; i < length; i++) if (at(i) !== first) return false;
  return true;
}

const stuck: LaneFlaw = (at, length, width) =>
  width * (length - 1) >= MIN_BITS && isConstant(at, length)
    ? { kind: 'stuck', text: 'that never change' }
    : undefined;

const CONSTANT_STEP = 'that change by one constant step';
const SMALL_STEPS = 'that change by small steps, as a counter or a clock does';

/** Steps of all 64 bits. A step below an eighth of the range, up or down, is three bits of surprise. */
function whole(values: readonly bigint[]): Flaw | undefined {
  if (values.length < 3) return undefined;
  const steps = values.slice(1).map((value, i) => BigInt.asIntN(64, value - values[i]!));
  const few = 3 * (values.length - 1) < MIN_BITS;
  const text = steps.every((step) => step === steps[0])
    ? CONSTANT_STEP
    : !few && steps.every((step) => step > -(1n << 60n) && step < 1n << 60n)
      ? SMALL_STEPS
      : undefined;
  return text === undefined ? undefined : { kind: 'step', width: 64, text: `values ${text}` };
}

const stepping: LaneFlaw = (at, length, width) => {
  const range = 2 ** width;
  const step: At = (i) => (at(i + 1) - at(i) + range) % range;
  if (width * (length - 2) >= MIN_BITS && isConstant(step, length - 1))
    return { kind: 'step', text: CONSTANT_STEP };
  if (width === 1 || 3 * (length - 1) < MIN_BITS) return undefined;
  for (let i = 0; i + 1 < length; i++)
    if (step(i) >= range / 16 && range - step(i) >= range / 16) return undefined;
  return { kind: 'step', text: SMALL_STEPS };
};

/** Two lanes of each value whose difference, or exclusive or, is the same in every value. */
function alike(lane: Lane, count: number): Flaw | undefined {
  for (const width of [32, 16, 8]) {
    if (width * (count - 1) < MIN_BITS) continue;
    const range = 2 ** width;
    const all = Array.from({ length: 64 / width }, (_, i) => lane(i * width, width));
    for (let a = 0; a < all.length; a++) {
      for (let b = a + 1; b < all.length; b++) {
        const [one, two] = [all[a]!, all[b]!];
        const differs: At = (i) => one(i) ^ two(i);
        const distance: At = (i) => (one(i) - two(i) + range) % range;
        if (!isConstant(differs, count) && !isConstant(distance, count)) continue;
        const name = (index: number): string => `bits ${(index + 1) * width - 1} to ${index * width}`;
        return { kind: 'alike', width, text: `${name(b)} that follow from ${name(a)}` };
      }
    }
  }
  return undefined;
}

/** Values whose bits are compared at most, and the least. */
const MAX_ROWS = 256;
const MIN_ROWS = 128;
/** Random rows have so low a rank less than once in 2^MIN_RANK_BITS. */
const MIN_RANK_BITS = 60;

/**
 * Whether the bits of many values depend on each other linearly over GF(2): copied, inverted or mixed bits in one value, or
 * values that are a linear function of the one before (shift registers, xorshift). Takes 128 values or more, and looks at 256
 * at most; fewer say nothing.
 */
export function isLinear(values: readonly bigint[]): boolean {
  if (values.length < MIN_ROWS) return false;
  const words = values
    .slice(0, MAX_ROWS)
    .map((value) => [Number(value & 0xffff_ffffn), Number(value >> 32n)] as const);
  const single = words.map((row) => Uint32Array.of(1, ...row));
  const pairs = words.slice(1).map((row, i) => Uint32Array.of(1, ...words[i]!, ...row));
  return isDependent(single, 65) || isDependent(pairs, 129);
}

/** Whether the rows' rank is lower than that of random rows, whose bits in `columns` columns are free. */
function isDependent(rows: readonly Uint32Array[], columns: number): boolean {
  const surplus = Math.abs(rows.length - columns);
  let missing = 1;
  while (missing * (missing + surplus) < MIN_RANK_BITS) missing++;
  return rank(rows) <= Math.min(rows.length, columns) - missing;
}

/** Gaussian elimination; changes the rows. */
function rank(rows: readonly Uint32Array[]): number {
  const basis = new Map<number, Uint32Array>();
  for (const row of rows) {
    for (let word = row.length - 1; word >= 0; word--) {
      while (row[word] !== 0) {
        const top = 32 * word + 31 - Math.clz32(row[word]!);
        const pivot = basis.get(top);
        if (pivot === undefined) {
          basis.set(top, row);
          word = 0;
          break;
        }
        for (let i = 0; i <= word; i++) row[i] = row[i]! ^ pivot[i]!;
      }
    }
  }
  return basis.size;
}
