/** A guest's accesses as columns that can be drawn: up to two million events, after which only the sum goes on. */
import { type Events, FAULTED } from './protocol.ts';
import { type Scan, scanFinder } from './scan.ts';

/** Events kept for drawing, 17 bytes each. */
export const MAX_EVENTS = 1 << 21;

export interface Store {
  /** How many events the columns hold. */
  readonly length: number;
  /** How many came in all. */
  readonly total: number;
  /** Milliseconds since the machine started, ascending; so are the other columns, one event an index. */
  readonly times: Float64Array;
  readonly ops: Uint8Array;
  readonly numbers: Uint32Array;
  readonly subleaves: Uint32Array;
  /** The scans among the CPUIDs. */
  readonly scans: readonly Scan[];
  /** How many CPUIDs were steps of one. */
  readonly scanned: number;
  /** How many accesses of each kind there were: CPUID, RDMSR, WRMSR; they sum to `total`. */
  readonly counts: readonly number[];
  add(events: Events): void;
}

export function store(): Store {
  let capacity = 1 << 12;
  let times = new Float64Array(capacity);
  let ops = new Uint8Array(capacity);
  let numbers = new Uint32Array(capacity);
  let subleaves = new Uint32Array(capacity);
  let length = 0;
  let total = 0;
  const scans = scanFinder();
  const counts = [0, 0, 0];
  const grow = (wanted: number) => {
    while (capacity < wanted) capacity *= 2;
    const into = <T extends { set(from: T): void }>(to: T, from: T): T => {
      to.set(from);
      return to;
    };
    times = into(new Float64Array(capacity), times);
    ops = into(new Uint8Array(capacity), ops);
    numbers = into(new Uint32Array(capacity), numbers);
    subleaves = into(new Uint32Array(capacity), subleaves);
  };
  return {
    get length() {
      return length;
    },
    get total() {
      return total;
    },
    get times() {
      return times;
    },
    get ops() {
      return ops;
    },
    get numbers() {
      return numbers;
    },
    get subleaves() {
      return subleaves;
    },
    scans: scans.found,
    counts,
    get scanned() {
      return scans.steps;
    },
    add(events) {
      const came = events.times.length;
      total += came;
      for (let i = 0; i < came; i++) {
        const op = events.ops[i]!;
        counts[op & ~FAULTED]!++;
        scans.see(op, events.numbers[i]!, events.times[i]!);
      }
      const kept = Math.min(came, MAX_EVENTS - length);
      if (kept <= 0) return;
      if (length + kept > capacity) grow(length + kept);
      times.set(events.times.subarray(0, kept), length);
      ops.set(events.ops.subarray(0, kept), length);
      numbers.set(events.numbers.subarray(0, kept), length);
      subleaves.set(events.subleaves.subarray(0, kept), length);
      length += kept;
    },
  };
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
