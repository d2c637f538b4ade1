/** The head and the closing line of a report. */
import type { Report, Result } from '../verify.ts';

/** The facts that a reporter gets beside the results. */
export interface About {
  /** The guest's host: an engine's name, `serial` or `exec`. */
  readonly engine: string;
  /** The name of a source of predictable values, where a test asked for one: every report shows it. */
  readonly deterministic?: string | undefined;
  /** How long it took. */
  readonly milliseconds?: number | undefined;
}

/** One sentence for the whole report. */
export function resultLine({ draft, rulesOf, failed, warned, passed }: Report): string {
  if (draft === undefined) return `does not speak CommonHV (asked for by draft ${rulesOf})`;
  if (failed > 0) return `does not conform to CommonHV draft ${draft}`;
  if (passed === 0) return `could not be judged by CommonHV draft ${draft}`;
  return warned > 0
    ? `conforms to CommonHV draft ${draft}, with warnings`
    : `conforms to CommonHV draft ${draft}`;
}

/** 0 of the exit status: it speaks CommonHV, was asked something, and breaks nothing. All skipped is not success. */
export function conforms({ draft, failed, passed }: Report): boolean {
  return draft !== undefined && failed === 0 && passed > 0;
}

export const deterministicLine = (source: string): string =>
  `the values are deterministic: the source "${source}" is for tests`;

/** The far side's bytes never steer a terminal or break a line. */
export function plain(text: string): string {
  return text.replace(/[^ -~]/g, '.');
}

export const isBad = ({ outcome }: Result): boolean => outcome === 'failed' || outcome === 'warned';
