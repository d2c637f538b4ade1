/** Contradictions between sources: a remedy that is reported and did not happen. */
import { copyNumbers, type SourceResult } from './comparison.ts';
import type { Recording } from './samples.ts';

/** Samples that may be on their way when the host sees an acknowledgement: the guest's terminal holds 4 KiB. */
const MAX_IN_FLIGHT = 32;

/** A remedy that is reported and did not happen. */
export function contradictions(sources: readonly SourceResult[]): readonly string[] {
  const found: string[] = [];
  const kernel = sources.find(({ name }) => name === 'getrandom');
  for (const { name, state, groups } of sources.filter(({ kind }) => kind === 'generation')) {
    if (state === 'alike')
      found.push(
        `${name} is the same in ${groups.map(copyNumbers).join('; ')} to the end: not renewed for each copy`,
      );
    else if (state !== 'not compared' && kernel?.state === 'alike')
      found.push(
        `${name} differs between copies, and getrandom repeats to the end: nothing reseeded the kernel`,
      );
  }
  const reseeded = sources.find(({ name }) => name === 'reseeded');
  if (reseeded !== undefined && kernel !== undefined && reportedEarly(reseeded, kernel))
    found.push(
      'the page says that the kernel was reseeded, and getrandom repeats after that: a false report',
    );
  return found;
}

/** Whether a copy's kernel repeats values after the report of its reseed is its own. */
function reportedEarly(reseeded: SourceResult, kernel: SourceResult): boolean {
  return reseeded.series.some(({ shared }, copy) => {
    const own = shared.lastIndexOf(true) + 1;
    return own > 0 && own < shared.length && kernel.series[copy]!.shared.lastIndexOf(true) > own;
  });
}

/** An acknowledgement (draft 3) tells the host that the guest has reseeded: its kernel may not repeat values after it. */
export function acknowledgedEarly(
  recordings: readonly Recording[],
  rows: readonly (readonly number[])[],
  sources: readonly SourceResult[],
): readonly string[] {
  const kernel = sources.find(({ name }) => name === 'getrandom');
  const early = [...recordings.entries()].filter(([copy, { acknowledged, steps }]) => {
    if (acknowledged === undefined || kernel === undefined) return false;
    const last = rows[copy]![kernel.series[copy]!.shared.lastIndexOf(true)];
    return last !== undefined && steps[last]! > acknowledged + MAX_IN_FLIGHT;
  });
  if (early.length === 0) return [];
  const who = copyNumbers(early.map(([copy]) => copy));
  return [`${who} acknowledged a reseed, and getrandom repeats after that: a false report`];
}
