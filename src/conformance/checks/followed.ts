/** Random values after a guest's write: none follows from the written one. */
import { type Fault, hex } from '../../cpu.ts';
import { isFault, type Reading, shown } from '../answers.ts';
import { evidenceOf } from '../evidence.ts';
import type { Implementation } from '../implementation.ts';
import { ALL, formsOf, WRITTEN } from './inputs.ts';

/** A write, and the values that were read before and after it: on the same CPU, then one on each other. */
export interface Write {
  readonly cpu: number;
  readonly value: bigint;
  readonly fault: Fault | undefined;
  readonly before: Reading;
  readonly after: readonly Reading[];
}

/** Bits that are equal in 8 random values: half a bit is expected, 24 are no accident. */
const MAX_STUCK_BITS = 24;

/** Values that follow from a write: the same, a part of it, or a constant distance from it. */
export function followed(implementation: Implementation, writes: readonly Write[]): void {
  const evidence = evidenceOf(implementation);
  const id = implementation.draft === 3 ? 'rng.lowered' : 'rng.echo';
  const name = `RDMSR ${hex(implementation.rng!.msr)}`;
  const lanes = new Set<bigint>();
  for (const { value, after } of writes) {
    const values = after.filter((read) => !isFault(read));
    const echo = values.find((read) => WRITTEN.has(read));
    evidence.expect(
      id,
      echo === undefined,
      () =>
        `${name}: expected nothing of the written values, got ${shown(echo)} after ${shown(WRITTEN.get(echo!))}`,
    );
    const parts = [value >> 32n, value & 0xffff_ffffn];
    const isPart = (read: bigint): boolean =>
      parts.includes(read >> 32n) || parts.includes(read & 0xffff_ffffn);
    if (formsOf(value).length > 0 && values.some(isPart)) lanes.add(value);
    const ones = values.reduce((all, read) => all & read, ALL);
    const zeros = values.reduce((all, read) => all & ~read, ALL);
    const stuck = countOnes(ones | zeros);
    const lowered = implementation.draft === 3 ? 'rng.lowered' : 'rng.quality';
    const known = ['rng.width', 'rng.quality', 'msrs.secure'].some((flawed) => evidence.has(flawed));
    if (values.length >= 8 && new Set(values).size > 1 && !known)
      evidence.expect(
        lowered,
        stuck < MAX_STUCK_BITS,
        () =>
          `${name} after ${shown(value)} was written: expected random values, got ${stuck} bits that never change in ${values.length}`,
      );
  }
  evidence.expect(
    id,
    lanes.size < 2,
    () =>
      `${name}: expected nothing of the written values, got a half of ${[...lanes].map(shown).join(' and ')} after it`,
  );
  const relation = relationOf(writes);
  evidence.expect(
    id,
    relation === undefined,
    () => `${name}: expected nothing that follows from the written values, got ${relation}`,
  );
}

/** A relation is believed where random values show it less than once in 2^MIN_BITS writes. */
const MIN_BITS = 48;

interface Row {
  readonly written: bigint;
  readonly before: bigint;
  readonly value: bigint;
}

/** How the values at one place after all writes, or after those of one CPU, follow from the written ones. */
function relationOf(writes: readonly Write[]): string | undefined {
  const cpus = [...new Set(writes.map(({ cpu }) => cpu))];
  for (const some of [writes, ...cpus.map((cpu) => writes.filter((write) => write.cpu === cpu))]) {
    const places = Math.max(0, ...some.map(({ after }) => after.length));
    for (let place = 0; place < places; place++) {
      const rows = some.flatMap(({ value: written, before, after }): readonly Row[] => {
        const value = after[place];
        return typeof value === 'bigint' && typeof before === 'bigint' ? [{ written, before, value }] : [];
      });
      if (rows.length < 3 || new Set(rows.map(({ value }) => value)).size === 1) continue;
      const relation = distance(rows) ?? lane(rows) ?? masked(rows);
      if (relation !== undefined) return `${relation} in value ${place + 1}`;
    }
  }
  return undefined;
}

const DISTANCES: Readonly<Record<string, (row: Row) => bigint>> = {
  'exclusive or with the written value': ({ value, written }) => value ^ written,
  'difference from the written value': ({ value, written }) => BigInt.asUintN(64, value - written),
  'exclusive or with the written value and the value before': ({ value, written, before }) =>
    value ^ written ^ before,
  'difference from the written value and the value before': ({ value, written, before }) =>
    BigInt.asUintN(64, value - written - before),
};

/** The distance that is constant between the written values and those after them. */
function distance(rows: readonly Row[]): string | undefined {
  const name = Object.keys(DISTANCES).find((one) => new Set(rows.map(DISTANCES[one]!)).size === 1);
  return name && `a constant ${name}`;
}

/** Aligned bits of the values that differ from aligned bits of the written ones by a constant. */
function lane(rows: readonly Row[]): string | undefined {
  for (const width of [32, 16, 8]) {
    if (width * (rows.length - 1) < MIN_BITS) continue;
    const lanes = (value: bigint): readonly number[] =>
      Array.from({ length: 64 / width }, (_, i) => Number(BigInt.asUintN(width, value >> BigInt(i * width))));
    const of = rows.map(({ value, written }) => [lanes(value), lanes(written)] as const);
    for (let a = 0; a < 64 / width; a++)
      for (let b = 0; b < 64 / width; b++)
        if (isConstant(of.map(([value, written]) => value[a]! ^ written[b]!)))
          return `${width} bits that follow from ${width} bits of the written value`;
  }
  return undefined;
}

const isConstant = (values: readonly number[]): boolean => values.every((value) => value === values[0]);

/** Bits that are always 0 or always 1 where the written bit is 0, or where it is 1. */
function masked(rows: readonly Row[]): string | undefined {
  for (const where of [0n, ALL]) {
    for (const not of [0n, ALL]) {
      const chosen = rows.map(({ written, value }) => [written ^ where, (value ^ not) & (written ^ where)]);
      const bits = chosen.reduce((sum, [mask]) => sum + countOnes(mask!), 0);
      if (bits >= MIN_BITS && chosen.every(([, value]) => value === 0n))
        return `bits that are constant where those of the written value are ${where === 0n ? 1 : 0}`;
    }
  }
  return undefined;
}

const countOnes = (value: bigint): number => value.toString(2).replaceAll('0', '').length;
