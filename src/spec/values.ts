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
  const lane = (shift: number, width: number): readonly number[] =>
    halves.map((half) => ((half[shift >> 5]! >>> (shift & 31)) & (2 ** width - 1)) >>> 0);
  return (
    bitOfBytes(halves) ??
    lanes(lane, stuck) ??
    whole(values) ??
    lanes(lane, stepping) ??
    alike(lane, values.length)
  );
}

/** A bit that is the same in every byte of all values, as the top bit of text is. */
function bitOfBytes(halves: readonly (readonly [number, number])[]): Flaw | undefined {
  if (8 * halves.length - 1 < MIN_BITS) return undefined;
  const bytes = halves.flat().flatMap((half) => [0, 8, 16, 24].map((shift) => (half >>> shift) & 0xff));
  const changed = bytes.reduce((sum, byte) => sum | (byte ^ bytes[0]!), 0);
  if (changed === 0xff) return undefined;
  return { kind: 'stuck', width: 1, text: 'a bit that is the same in every byte' };
}

type Lane = (shift: number, width: number) => readonly number[];
type LaneFlaw = (lane: readonly number[], width: number) => Pick<Flaw, 'kind' | 'text'> | undefined;

/** The first flaw of a lane, the widest lanes first. */
function lanes(lane: Lane, flawed: LaneFlaw): Flaw | undefined {
  for (const width of WIDTHS) {
    for (let shift = 0; shift < 64; shift += width) {
      const flaw = flawed(lane(shift, width), width);
      const name = width === 1 ? `bit ${shift}` : `bits ${shift + width - 1} to ${shift}`;
      if (flaw !== undefined) return { kind: flaw.kind, width, text: `${name} ${flaw.text}` };
    }
  }
  return undefined;
}

const isConstant = <T>(values: readonly T[]): boolean => values.every((value) => value === values[0]);

const stuck: LaneFlaw = (lane, width) =>
  width * (lane.length - 1) >= MIN_BITS && isConstant(lane)
    ? { kind: 'stuck', text: 'that never change' }
    : undefined;

const CONSTANT_STEP = 'that change by one constant step';
const SMALL_STEPS = 'that change by small steps, as a counter or a clock does';

/** Steps of all 64 bits. A step below an eighth of the range, up or down, is three bits of surprise. */
function whole(values: readonly bigint[]): Flaw | undefined {
  if (values.length < 3) return undefined;
  const steps = values.slice(1).map((value, i) => BigInt.asIntN(64, value - values[i]!));
  const few = 3 * (values.length - 1) < MIN_BITS;
  const text = isConstant(steps)
    ? CONSTANT_STEP
    : !few && steps.every((step) => step > -(1n << 60n) && step < 1n << 60n)
      ? SMALL_STEPS
      : undefined;
  return text === undefined ? undefined : { kind: 'step', width: 64, text: `values ${text}` };
}

const stepping: LaneFlaw = (lane, width) => {
  const range = 2 ** width;
  const steps = lane.slice(1).map((value, i) => (value - lane[i]! + range) % range);
  if (width * (lane.length - 2) >= MIN_BITS && isConstant(steps))
    return { kind: 'step', text: CONSTANT_STEP };
  if (width === 1 || 3 * (lane.length - 1) < MIN_BITS) return undefined;
  return steps.every((step) => step < range / 16 || range - step < range / 16)
    ? { kind: 'step', text: SMALL_STEPS }
    : undefined;
};

/** Two lanes of each value whose difference, or exclusive or, is the same in every value. */
function alike(lane: Lane, count: number): Flaw | undefined {
  for (const width of [32, 16, 8]) {
    if (width * (count - 1) < MIN_BITS) continue;
    const range = 2 ** width;
    const all = Array.from({ length: 64 / width }, (_, i) => lane(i * width, width));
    for (let a = 0; a < all.length; a++) {
      for (let b = a + 1; b < all.length; b++) {
        const xors = all[a]!.map((value, i) => value ^ all[b]![i]!);
        const differences = all[a]!.map((value, i) => (value - all[b]![i]! + range) % range);
        if (!isConstant(xors) && !isConstant(differences)) continue;
        const name = (index: number): string => `bits ${(index + 1) * width - 1} to ${index * width}`;
        return { kind: 'alike', width, text: `${name(b)} that follow from ${name(a)}` };
      }
    }
  }
  return undefined;
}

/**
 * Whether the bits of many values depend on each other linearly over GF(2): copied, inverted or mixed bits in one value, or
 * values that are a linear function of the one before (shift registers, xorshift). Takes 128 values or more; fewer say nothing.
 */
export function isLinear(values: readonly bigint[]): boolean {
  if (values.length < 128) return false;
  const affine = values.map((value) => (value << 1n) | 1n);
  const pairs = values.slice(1).map((value, i) => (affine[i]! << 64n) | value);
  // 65 and 127 are the ranks of random rows; less than 64 and 110 is chance below once in 2^60.
  return rank(affine) < 64 || rank(pairs) < 110;
}

function rank(rows: readonly bigint[]): number {
  const basis = new Map<number, bigint>();
  for (let row of rows) {
    while (row !== 0n) {
      const top = row.toString(16).length;
      const pivot = basis.get(top * 4 + highest(row, top));
      if (pivot === undefined) {
        basis.set(top * 4 + highest(row, top), row);
        break;
      }
      row ^= pivot;
    }
  }
  return basis.size;
}

/** Index of the highest bit within the highest hexadecimal digit. */
const highest = (row: bigint, digits: number): number =>
  Math.floor(Math.log2(Number(row >> BigInt(4 * (digits - 1)))));
