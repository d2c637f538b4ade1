/** A generated faulty machine, and the pieces that the families share. */
import type { ReferenceOptions } from 'commonhv/conformance';

export interface Mutant {
  /** The family, which is also what a sample covers. */
  readonly kind: string;
  /** Fault, place and time. */
  readonly name: string;
  /** One rule of these sections, or of these ids, has to be broken. */
  readonly breaks: readonly string[];
  /** A new one; faults have state. */
  options(): ReferenceOptions;
}

export const CPUS = [0, 1, 2] as const;
export const LOW = 0xffff_ffffn;
export const u64 = (value: bigint): bigint => BigInt.asUintN(64, value);
/** SplitMix64: values that pass for random ones. */
export function mixed(seed: bigint, n: number): bigint {
  let value = u64(seed + BigInt(n) * 0x9e37_79b9_7f4a_7c15n);
  value = u64((value ^ (value >> 30n)) * 0xbf58_476d_1ce4_e5b9n);
  value = u64((value ^ (value >> 27n)) * 0x94d0_49bb_1331_11ebn);
  return value ^ (value >> 31n);
}
