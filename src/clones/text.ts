/** A comparison of copies as aligned text, with a timeline of each source. */
import { type Comparison, copyNumbers, type SourceResult } from './comparison.ts';

/** `plain` for output without colours. */
export type Paint = (style: 'bold' | 'dim' | 'red' | 'green' | 'yellow', text: string) => string;
const plain: Paint = (_, text) => text;

/** Columns of a timeline; where there are fewer samples, there are as many columns. */
const MAX_CELLS = 32;

/** The report for a person: a row for each source, findings, the result in the last line. */
export function textReport(comparison: Comparison, paint: Paint = plain): string {
  const { copies, sources, findings, differ, result } = comparison;
  const width = Math.max(...sources.map(({ name }) => name.length), 6);
  const span = longest(comparison);
  const interval = milliseconds(Math.max(...copies.map((copy) => copy.interval)));
  const head = `${copies.length} copies, ${count(
    copies.map(({ samples }) => samples),
    'sample',
  )} each, one in ${interval}, ${milliseconds(span)} in all; # alike, . different, blank: no sample`;
  const shown = sources.filter(({ kind }) => kind !== 'information' && kind !== 'identity');
  const rows = shown.map((source) =>
    [
      paint('bold', source.name.padEnd(width)),
      timeline(source, span),
      describeSource(source, copies.length, paint),
    ].join('  '),
  );
  const damaged = copies.reduce((sum, copy) => sum + copy.damaged, 0);
  const notes = [
    ...identityLines(sources),
    ...clockLines(comparison),
    ...(damaged > 0 ? [`${counted(damaged, 'damaged line')} left out`] : []),
    ...findings.map((finding) => paint('red', finding)),
  ];
  const color = differ === undefined ? 'yellow' : differ ? 'green' : 'red';
  return [head, '', ...rows, ...(notes.length > 0 ? ['', ...notes] : []), '', paint(color, result), ''].join(
    '\n',
  );
}

/** The time from the first sample to the last of the longest copy, in milliseconds. */
export function longest({ copies }: Comparison): number {
  return Math.max(1, ...copies.map(({ milliseconds }) => milliseconds));
}

/** Cells over time: `#` where a sample of any copy is shared, `.` where none is, a blank where there is no sample. */
function timeline({ series }: SourceResult, span: number): string {
  const columns = Math.min(MAX_CELLS, Math.max(1, ...series.map(({ at }) => at.length)));
  const cells = new Array<string>(columns).fill(' ');
  for (const { shared, at } of series) {
    for (const [i, time] of at.entries()) {
      const cell = Math.min(columns - 1, Math.floor((time / span) * columns));
      if (shared[i]) cells[cell] = '#';
      else if (cells[cell] === ' ') cells[cell] = '.';
    }
  }
  return cells.join('').padEnd(MAX_CELLS);
}

function describeSource(source: SourceResult, copies: number, paint: Paint): string {
  const { kind, state, samples, groups, failed } = source;
  if (state === 'not compared') return paint('yellow', 'not compared');
  if (kind === 'control') {
    const repeats = groups.some((group) => group.length === copies);
    return repeats
      ? paint('dim', 'repeats in every copy, as the control has to')
      : paint('yellow', 'does not repeat in every copy, as the control has to');
  }
  if (state === 'different') return paint('green', 'different from the first sample');
  const who = groups.map((group) => (group.length === copies ? 'all copies' : copyNumbers(group))).join('; ');
  const how =
    state === 'alike'
      ? `alike to the end (${counted(samples, 'sample')}, ${milliseconds(source.milliseconds)})`
      : `alike for ${counted(samples, 'sample')}, different after ${milliseconds(source.milliseconds)}`;
  return paint(failed ? 'red' : 'yellow', `${who}: ${how}${failed ? '' : ', which is allowed'}`);
}

function identityLines(sources: readonly SourceResult[]): readonly string[] {
  const identities = sources.filter(({ kind }) => kind === 'identity');
  const names = (state: (source: SourceResult) => boolean) =>
    identities
      .filter(state)
      .map(({ name }) => name)
      .join(', ');
  const shared = names(({ groups }) => groups.length > 0);
  return shared === '' ? [] : [`shared identity: ${shared}`];
}

function clockLines({ copies }: Comparison): readonly string[] {
  const stepped = copies.filter(({ clockStep }) => Math.abs(clockStep) > 50);
  if (stepped.length === 0) return [];
  return stepped.map(
    ({ name, clockStep }) => `the clock of ${name} was stepped by ${milliseconds(clockStep)}`,
  );
}

/** "12 ms", "3.4 s". */
export function milliseconds(value: number): string {
  const rounded = Math.ceil(value);
  return Math.abs(rounded) < 10_000 ? `${rounded} ms` : `${(value / 1000).toFixed(1)} s`;
}

/** "1 sample", "2 samples". */
export const counted = (number: number, noun: string): string =>
  `${number} ${noun}${number === 1 ? '' : 's'}`;

function count(values: readonly number[], noun: string): string {
  const [least, most] = [Math.min(...values), Math.max(...values)];
  return least === most ? counted(least, noun) : `${least} to ${counted(most, noun)}`;
}
