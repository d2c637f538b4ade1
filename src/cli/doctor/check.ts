/** One line of the doctor: a finding with its evidence and its remedy. */
import type { Seen } from './world.ts';

/** `good`: protects; `weak`: protects in part, or not here; `bad`: needs a remedy; `unknown`: could not be seen. */
export type State = 'good' | 'weak' | 'bad' | 'unknown';

export interface Check {
  readonly id: string;
  readonly state: State;
  /** The finding in one line. */
  readonly text: string;
  /** Where it was seen. */
  readonly evidence: string;
  /** Absent where there is nothing to do. */
  readonly remedy?: string | undefined;
}

/** Of a file; empty where it is absent or may not be read. */
export const textOf = (seen: Seen): string => (typeof seen === 'string' ? '' : seen.text);
