/** The head and the closing line of a report. */
import type { Report, Result } from '../verify.ts';

/** The facts that a reporter gets beside the results. */
export interface About {
  /** The guest's host: an engine's name, `serial` or `exec`. */
  readonly engine: string;
  /** The name of a source of predictable values, where a test asked for one: every report shows it. */
  readonly deterministic?: string | undefined;
  /** Where no CommonHV was found: lines about what is there instead, for the text report. */
  readonly instead?: readonly string[] | undefined;
  /** How long it took. */
  readonly milliseconds?: number | undefined;
}

/** One sentence for the whole report, with the unchecked parts beside the result. */
export function resultLine(report: Report): string {
  const { present, draft, later, rulesOf, failed, warned, passed } = report;
  if (!present) return `does not speak CommonHV (asked for by draft ${rulesOf})`;
  if (later !== undefined) return `speaks CommonHV draft ${later}, which this suite cannot verify`;
  const by = draft === undefined ? 'CommonHV, and offers nothing under any draft' : `CommonHV draft ${draft}`;
  if (failed > 0) return `does not conform to ${by}`;
  if (passed === 0) return `could not be verified by ${by}`;
  return `conforms to ${by}${warned > 0 ? ', with warnings' : ''} (${scopeLine(report)})`;
}

/** How many CPUs and which machine controls there were, and the parts that were not checked for want of them. */
export function scopeLine({ processors, controls, notChecked }: Report): string {
  const cpus = `${processors} processor${processors === 1 ? '' : 's'}`;
  const had = controls.length === 0 ? 'no machine controls' : controls.join(', ');
  return `${cpus}, ${had}${notChecked.length === 0 ? '' : `; not checked: ${notChecked.join(', ')}`}`;
}

/** 0 of the exit status: it speaks CommonHV, was asked something, and breaks nothing. All skipped is not success. */
export function conforms({ present, failed, passed }: Report): boolean {
  return present && failed === 0 && passed > 0;
}

export const deterministicLine = (source: string): string =>
  `the values are deterministic: the source "${source}" is for tests`;

/** The far side's bytes never steer a terminal or break a line. */
export function plain(text: string): string {
  return text.replace(/[^ -~]/g, '.');
}

export const isBad = ({ outcome }: Result): boolean => outcome === 'failed' || outcome === 'warned';
