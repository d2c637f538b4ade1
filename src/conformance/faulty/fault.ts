/** Faulty machines, and the pieces that most of them are made of. */
import type { Draft } from '../../spec/index.ts';
import type { Rule } from '../rule.ts';
import type { Hooks, Moment, ReferenceMachine, ReferenceOptions, RegisterName } from './reference.ts';

/** A machine that is right but for one thing. */
export interface FaultyMachine {
  /** The rule that it breaks. */
  readonly rule: Rule['id'];
  /** The drafts of which it makes a wrong machine; default: 3. */
  readonly drafts?: readonly Draft[] | undefined;
  /** Its mistake, in a few words: a verb first. */
  readonly title: string;
  /** Rules that it cannot help but break as well. */
  readonly also?: readonly Rule['id'][] | undefined;
  /** A new one; mistakes have state. */
  options(draft?: Draft): ReferenceOptions;
}

export type Reads = NonNullable<Hooks['read']>;

export const LOW = 0xffff_ffffn;
export const u64 = (value: bigint): bigint => BigInt.asUintN(64, value);

/** SplitMix64 (Steele, Lea and Flood): the n-th value of a seed. */
export function splitMix(seed: bigint, n: number): bigint {
  let value = u64(seed + BigInt(n) * 0x9e37_79b9_7f4a_7c15n);
  value = u64((value ^ (value >> 30n)) * 0xbf58_476d_1ce4_e5b9n);
  value = u64((value ^ (value >> 27n)) * 0x94d0_49bb_1331_11ebn);
  return value ^ (value >> 31n);
}

/** Only values of one register. */
export const of =
  (
    register: RegisterName,
    change: (value: bigint, moment: Moment, machine: ReferenceMachine) => ReturnType<Reads>,
  ): Reads =>
  (value, name, moment, machine) =>
    name === register && typeof value === 'bigint' ? change(value, moment, machine) : value;

export type Kept = Record<string, bigint>;
/** Keeps a value from one call to the next. */
export const put = (kept: Kept, name: string, value: bigint): bigint => {
  kept[name] = value;
  return value;
};
export const kept = (all: Kept, name: string, value: bigint): bigint => all[name] ?? put(all, name, value);
export const ROUTES = ['start', 'another', 'restore', 'resume', 'reset', 'migrate', 'outer'];
export const restored = ({ route }: Moment): boolean => route === 'restore' || route === 'resume';
export const fault = (
  rule: Rule['id'],
  title: string,
  hooks: () => Hooks,
  options: ReferenceOptions = {},
  also?: readonly Rule['id'][],
): FaultyMachine => ({
  rule,
  also,
  title,
  options: () => ({ ...options, hooks: hooks() }),
});
