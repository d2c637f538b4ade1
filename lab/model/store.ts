/** A guest's accesses as columns that can be drawn: up to two million events, after which only the sum goes on. */
import { type Events, FAULTED } from './protocol.ts';
import { type Scan, scanFinder } from './scan.ts';

/** Events kept for drawing, 17 bytes each. */
export const MAX_EVENTS = 1 << 21;

/** An array that grows: its first `length` places count. */
class Column<T extends Float64Array | Uint8Array | Uint32Array> {
  #values: T;
  readonly #make: (length: number) => T;

  constructor(make: (length: number) => T) {
    this.#make = make;
    this.#values = make(1 << 12);
  }

  get values(): T {
    return this.#values;
  }

  /** Puts the first `count` of `from` behind `length` values. */
  append(from: T, count: number, length: number): void {
    let capacity = this.#values.length;
    while (capacity < length + count) capacity *= 2;
    if (capacity > this.#values.length) {
      const grown = this.#make(capacity);
      grown.set(this.#values);
      this.#values = grown;
    }
    this.#values.set(from.subarray(0, count), length);
  }
}

export class Store {
  readonly #times = new Column((length) => new Float64Array(length));
  readonly #ops = new Column((length) => new Uint8Array(length));
  readonly #numbers = new Column((length) => new Uint32Array(length));
  readonly #subleaves = new Column((length) => new Uint32Array(length));
  readonly #scans = scanFinder();
  readonly #counts = [0, 0, 0];
  #length = 0;
  #total = 0;

  /** How many events the columns hold. */
  get length(): number {
    return this.#length;
  }

  /** How many came in all. */
  get total(): number {
    return this.#total;
  }

  /** Milliseconds since the machine started, ascending; so are the other columns, one event an index. */
  get times(): Float64Array {
    return this.#times.values;
  }

  get ops(): Uint8Array {
    return this.#ops.values;
  }

  get numbers(): Uint32Array {
    return this.#numbers.values;
  }

  get subleaves(): Uint32Array {
    return this.#subleaves.values;
  }

  /** The scans among the CPUIDs. */
  get scans(): readonly Scan[] {
    return this.#scans.found;
  }

  /** How many CPUIDs were steps of one. */
  get scanned(): number {
    return this.#scans.steps;
  }

  /** How many accesses of each kind there were: CPUID, RDMSR, WRMSR; they sum to `total`. */
  get counts(): readonly number[] {
    return this.#counts;
  }

  add({ times, ops, numbers, subleaves }: Events): void {
    const came = times.length;
    this.#total += came;
    for (let i = 0; i < came; i++) {
      this.#counts[ops[i]! & ~FAULTED]!++;
      this.#scans.see(ops[i]!, numbers[i]!, times[i]!);
    }
    const count = Math.min(came, MAX_EVENTS - this.#length);
    if (count <= 0) return;
    this.#times.append(times, count, this.#length);
    this.#ops.append(ops, count, this.#length);
    this.#numbers.append(numbers, count, this.#length);
    this.#subleaves.append(subleaves, count, this.#length);
    this.#length += count;
  }
}

/** Index of the first time that is not before `time`. */
export function firstAfter(times: Float64Array, length: number, time: number): number {
  let low = 0;
  let high = length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (times[middle]! < time) low = middle + 1;
    else high = middle;
  }
  return low;
}
