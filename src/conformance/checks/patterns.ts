/** Patterns in one row of random values: a constant, lanes and bits that follow from others, a bias. */
import { flawOf, isLinear } from '../../spec/index.ts';
import { shown } from '../answers.ts';
import { evidenceOf } from '../evidence.ts';
import type { Implementation } from '../implementation.ts';
import { biasOf } from './statistics.ts';

/** Equal values at the end of a long row: the generator stopped. */
const STOPPED = 32;
/** Values in a row that are no accident where they are equal; drafts 1 and 2 allow zeros among others. */
const MIN_EQUAL = { 1: 8, 2: 8, 3: 4 } as const;

/** One value for ever, also from some read on; after that was seen nothing else is said of the values. */
export function isConstant(
  implementation: Implementation,
  written: boolean,
  row: readonly bigint[],
  name: string,
): boolean {
  const evidence = evidenceOf(implementation);
  const draft3 = implementation.draft === 3;
  const constant = draft3 ? 'rng.constant' : 'rng.different';
  const lowered = draft3 && (written || evidence.has('rng.lowered')) && !evidence.has(constant);
  const last = row.slice(-STOPPED);
  const one = last.every((value) => value === last[0]);
  const times = row.every((value) => value === row[0]) ? row.length : last.length;
  const enough = row.length >= MIN_EQUAL[implementation.draft];
  if (enough)
    evidence.expect(
      lowered ? 'rng.lowered' : constant,
      !one,
      () => `${name}: expected values that differ, got ${shown(last[0])} ${times} times`,
    );
  return (enough && one) || (draft3 && evidence.has(constant));
}

/** The rule about the bits of values: where all are stated to be secure, the statement is wrong. */
export const qualityOf = ({ secure }: Implementation): string => (secure ? 'msrs.secure' : 'rng.quality');

/** Patterns in the bits of a row. Returns whether the values have 32 bits or fewer. */
export function examineBits(
  implementation: Implementation,
  written: boolean,
  row: readonly bigint[],
  name: string,
): boolean {
  const distinct = [...new Set(row)];
  if (distinct.length < 8) return false;
  const evidence = evidenceOf(implementation);
  const flaw = flawOfRow(distinct, implementation.draft === 3, written);
  const known = implementation.secure ? ['msrs.secure'] : ['rng.width', 'rng.quality'];
  for (const id of known) evidence.expect(id, true, () => '');
  const after = written && implementation.draft === 3 && !known.some((id) => evidence.has(id));
  const narrow = flaw?.narrow === true;
  const id = after
    ? 'rng.lowered'
    : narrow && !implementation.secure
      ? 'rng.width'
      : qualityOf(implementation);
  evidence.expect(
    id,
    flaw === undefined,
    () => `${name}: expected random values, got ${flaw?.text} in ${row.length} values`,
  );
  return narrow;
}

/** Values in a row whose lanes are compared: a bit that never changes shows in 41. */
const LANE_VALUES = 48;
/** Values whose bits are compared, at the beginning and at the end of a long row. */
const PART = 256;
/** A value so near 0 comes by accident once in 2^47. */
const SMALL = 0x1_0000n;

function flawOfRow(
  values: readonly bigint[],
  draft3: boolean,
  written: boolean,
): { readonly narrow: boolean; readonly text: string } | undefined {
  for (const part of values.length < 2 * PART ? [values] : [values, values.slice(-PART)]) {
    const flaw = flawOf(part.slice(0, LANE_VALUES));
    if (flaw !== undefined) return { narrow: flaw.kind === 'stuck' && flaw.width >= 32, text: flaw.text };
    if (part === values && isLinear(part))
      return { narrow: false, text: 'bits that are linear functions of others' };
  }
  const small = values.find(
    (value) => BigInt.asUintN(64, value + SMALL) < 2n * SMALL && (draft3 || (!written && value !== 0n)),
  );
  const text = small === undefined ? biasOf(values) : `a value near 0, ${shown(small)},`;
  return text === undefined ? undefined : { narrow: false, text };
}
