/** Streams that follow from each other without an equal value: by a constant, or in some of their bits. */

/** Values of a row that are compared in this way. */
const MAX_VALUES = 64;
/** Keys have 53 bits, so one equal pair may be an accident. */
const MIN_HITS = 2;
const LANES = [32, 16, 8, 4] as const;

/** The relation of two streams, human-readable. */
export type Relation = 'difference' | 'exclusive or' | '32 bits' | '16 bits' | '8 bits' | '4 bits';

/** Two halves of a 64-bit value, and the kind that it is of, as a key. */
const keyOf = (salt: number, high: number, low: number): number =>
  ((high ^ Math.imul(low, 0x9e37_79b1) ^ salt) >>> 0) * 2 ** 21 + (low >>> 11);

/** One of so many windows is remembered, by its own bits: the same ones in every stream. */
const SAMPLED = 4;

/**
 * Remembers 64 bits at each place of a stream, in several ways: the distance of two values that follow each other, and one lane
 * of bits in several of them. Two independent streams share none.
 */
export class Windows<Place> {
  readonly #seen = new Map<number, Place>();

  /** Adds a row; returns the place of a row before that this one follows from, and how. */
  add(
    values: readonly bigint[],
    place: Place,
  ): { readonly before: Place; readonly by: Relation } | undefined {
    const some = values.slice(0, MAX_VALUES);
    const low = Uint32Array.from(some, (value) => Number(value & 0xffff_ffffn));
    const high = Uint32Array.from(some, (value) => Number(value >> 32n));
    const hits = new Map<Relation, number>();
    let found: { readonly before: Place; readonly by: Relation } | undefined;
    const note = (key: number, by: Relation): void => {
      if (key % SAMPLED !== 0) return;
      const before = this.#seen.get(key);
      if (before === undefined) {
        this.#seen.set(key, place);
        return;
      }
      const count = (hits.get(by) ?? 0) + 1;
      hits.set(by, count);
      if (count >= MIN_HITS) found ??= { before, by };
    };
    distances(low, high, note);
    for (const width of LANES) lanes(low, high, width, note);
    return found;
  }
}

type Note = (key: number, by: Relation) => void;

function distances(low: Uint32Array, high: Uint32Array, note: Note): void {
  for (let i = 1; i < low.length; i++) {
    const borrow = low[i]! < low[i - 1]! ? 1 : 0;
    note(keyOf(1, (high[i]! - high[i - 1]! - borrow) >>> 0, (low[i]! - low[i - 1]!) >>> 0), 'difference');
    note(keyOf(2, (high[i]! ^ high[i - 1]!) >>> 0, (low[i]! ^ low[i - 1]!) >>> 0), 'exclusive or');
  }
}

/** Every aligned lane of `width` bits, in as many values in a row as make 64 bits; lanes that stand still there are left out. */
function lanes(low: Uint32Array, high: Uint32Array, width: (typeof LANES)[number], note: Note): void {
  const count = 64 / width;
  const by = `${width} bits` as const;
  for (const words of [low, high]) {
    for (let shift = 0; shift < 32; shift += width) {
      for (let i = 0; i + count <= words.length; i++) {
        let [a, b] = [0, 0];
        for (let j = 0; j < count / 2; j++) {
          a = pushed(a, words[i + j]! >>> shift, width);
          b = pushed(b, words[i + count / 2 + j]! >>> shift, width);
        }
        if (a !== b) note(keyOf(width, a, b), by);
      }
    }
  }
}

/** `width` bits more at the low end, as a signed number. */
const pushed = (bits: number, more: number, width: (typeof LANES)[number]): number =>
  width === 32 ? more | 0 : (bits << width) | (more & (2 ** width - 1));
