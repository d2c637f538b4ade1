/** A generated faulty machine, and the pieces that the families share. */
import type { ReferenceOptions } from 'commonhv/conformance';

export { LOW, splitMix as mixed, u64 } from '../../src/conformance/faulty/fault.ts';

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
