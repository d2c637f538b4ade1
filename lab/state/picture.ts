/** The values that a guest read or drew: the latest of them for a picture, all of them counted and tested. */
import { type ReadonlySignal, signal } from '@preact/signals';
import { type HealthTest, health } from 'commonhv/hypervisor';

/** Values that a picture holds: each is 64 bits, two make a row, 128 rows a square. */
export const SHOWN = 256;
/** How many values are compared with one another; beyond that a repetition says nothing new. */
const COMPARED = 4096;

/** A picture of the values, to compare at a glance. */
export interface Look {
  readonly total: number;
  /** How many of the first 4096 are different, and how many those are. */
  readonly distinct: number;
  readonly compared: number;
  /** The continuous health test that failed first (SP 800-90B), and after how many values that was noticed. */
  readonly failed: { readonly test: HealthTest; readonly after: number } | undefined;
}

export interface Picture {
  readonly look: ReadonlySignal<Look>;
  /** The latest `SHOWN` values, oldest first. */
  readonly values: readonly bigint[];
  /** The first `SHOWN` values, to compare two machines by. */
  readonly first: readonly bigint[];
  add(values: BigUint64Array): void;
}

export function picture(): Picture {
  const values: bigint[] = [];
  const first: bigint[] = [];
  const different = new Set<bigint>();
  const tests = health();
  let total = 0;
  let failed: Look['failed'];
  const look = signal<Look>({ total, distinct: 0, compared: 0, failed });
  return {
    look,
    values,
    first,
    add(came) {
      for (const value of came.subarray(0, Math.max(0, COMPARED - total))) different.add(value);
      first.push(...came.subarray(0, Math.max(0, SHOWN - total)));
      values.push(...came.subarray(Math.max(0, came.length - SHOWN)));
      if (values.length > SHOWN) values.splice(0, values.length - SHOWN);
      total += came.length;
      if (failed === undefined) {
        const test = tests.check(new Uint8Array(came.buffer, came.byteOffset, came.byteLength));
        if (test !== undefined) failed = { test, after: total };
      }
      look.value = { total, distinct: different.size, compared: Math.min(total, COMPARED), failed };
    },
  };
}
