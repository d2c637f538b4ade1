/** Compares the recordings of copies of one saved machine: which sources give two copies the same values, and how long. */
import type { Recording } from './samples.ts';

/**
 * How a source behaves: `random` must not repeat between copies; `control` was seeded before the save and always repeats;
 * `generation` must differ between copies; `identity` never changes within a copy; `information` is shown and not checked.
 */
export type Kind = 'random' | 'control' | 'generation' | 'identity' | 'information';

/** One source in one copy, over the samples that another copy has too. */
export interface CopySeries {
  /** Whether another copy has the same value, by row. */
  readonly shared: readonly boolean[];
  /** Milliseconds of each row after the copy's first sample. */
  readonly at: readonly number[];
}

/** The result of the comparison for one source. */
export interface SourceResult {
  readonly name: string;
  readonly kind: Kind;
  /**
   * `different`: no value is shared; `parted`: shared at first, not at the end; `alike`: shared to the end of the recording;
   * `not compared`: fewer than two copies have a value of their own.
   */
  readonly state: 'different' | 'parted' | 'alike' | 'not compared';
  /** Groups of copies that share values, each with two copies at least; positions in the list of recordings. */
  readonly groups: readonly (readonly number[])[];
  /** The most shared samples of a copy. */
  readonly samples: number;
  /** Milliseconds after a copy's first sample at which it is seen to differ, of the slowest copy; of its last one where it never does. */
  readonly milliseconds: number;
  /** The window in milliseconds that the caller allows. */
  readonly allowed: number;
  /** Whether it fails the comparison. */
  readonly failed: boolean;
  readonly series: readonly CopySeries[];
}

export interface CopyResult {
  readonly name: string;
  readonly samples: number;
  readonly damaged: number;
  readonly milliseconds: number;
  /** Milliseconds from one sample to the next, the median: a shorter difference is not seen. */
  readonly interval: number;
  /** Milliseconds by which CLOCK_REALTIME was stepped against CLOCK_MONOTONIC, from the first sample to the last. */
  readonly clockStep: number;
}

export interface Comparison {
  readonly copies: readonly CopyResult[];
  readonly sources: readonly SourceResult[];
  /** Contradictions, such as a generation that differs while the kernel's values repeat; one line each. */
  readonly findings: readonly string[];
  /** `undefined` where the recordings cannot tell; `reason` says why. */
  readonly differ: boolean | undefined;
  /** The result in one line. */
  readonly result: string;
}

export interface CompareOptions {
  /** Milliseconds for which a source may be alike, by its name; `*` for all others; 0 by default. */
  readonly allowed?: ReadonlyMap<string, number> | undefined;
}

const CONTROL = 'once';
const GENERATIONS = ['commonhv-page', 'commonhv-msr'];
const INFORMATION = ['reseeded', 'sysgenid', 'vmclock', 'vmgenid-events'];

/** Compares two recordings or more. A sample whose clock equals another copy's was begun before the save: it is left out. */
export function compare(given: readonly Recording[], { allowed }: CompareOptions = {}): Comparison {
  const rows = commonRows(given);
  const names = [...new Set(given.flatMap(({ sources }) => [...sources.keys()]))];
  const sources = names.map((name) => compareSource(name, given, rows, allowed));
  const findings = contradictions(sources);
  const copies = given.map((recording, i) => describeCopy(recording, rows[i]!));
  return { copies, sources, findings, ...conclude(given, rows, sources, findings) };
}

/** The rows of each copy that count: taken after the save, and at steps that some other copy reached too. */
function commonRows(recordings: readonly Recording[]): readonly (readonly number[])[] {
  const clocks = new Map<string, number>();
  const clock = ({ steps, monotonic }: Recording, row: number): string => `${steps[row]} ${monotonic[row]}`;
  for (const recording of recordings) {
    for (const row of recording.steps.keys()) {
      const text = clock(recording, row);
      clocks.set(text, (clocks.get(text) ?? 0) + 1);
    }
  }
  const ends = recordings.map(({ steps }) => steps.at(-1) ?? -1).sort((a, b) => b - a);
  const end = ends[1] ?? -1;
  return recordings.map((recording) =>
    [...recording.steps.keys()].filter(
      (row) => recording.steps[row]! <= end && clocks.get(clock(recording, row)) === 1,
    ),
  );
}

function compareSource(
  name: string,
  recordings: readonly Recording[],
  rows: readonly (readonly number[])[],
  allowances: ReadonlyMap<string, number> | undefined,
): SourceResult {
  const values = recordings.map(({ sources }, i) => rows[i]!.map((row) => sources.get(name)?.[row]));
  const owners = new Map<bigint, Set<number>>();
  for (const [copy, column] of values.entries()) {
    for (const value of column) {
      if (value === undefined) continue;
      const set = owners.get(value);
      if (set === undefined) owners.set(value, new Set([copy]));
      else set.add(copy);
    }
  }
  const series = recordings.map(({ monotonic }, i) => ({
    shared: values[i]!.map((value) => value !== undefined && owners.get(value)!.size > 1),
    at: rows[i]!.map((row) => (monotonic[row]! - monotonic[rows[i]![0]!]!) / 1000),
  }));
  const kind = kindOf(name, values);
  const windows = series.map(windowOf);
  const milliseconds = Math.max(0, ...windows);
  const samples = Math.max(0, ...series.map(({ shared }) => shared.filter(Boolean).length));
  const ended = series.some(({ shared }) => shared.at(-1) === true);
  const compared = values.filter((column) => column.some((value) => value !== undefined)).length > 1;
  const state = !compared ? 'not compared' : samples === 0 ? 'different' : ended ? 'alike' : 'parted';
  const allowance = allowances?.get(name) ?? allowances?.get('*') ?? 0;
  const checked = kind === 'random' || kind === 'generation';
  const failed =
    checked && samples > 0 && (milliseconds > allowance || (state === 'alike' && allowance !== Infinity));
  return {
    name,
    kind,
    state,
    groups: groupsOf(owners, recordings.length),
    samples,
    milliseconds,
    allowed: allowance,
    failed,
    series,
  };
}

/** When a copy is seen to differ for good: the time of the sample after its last shared one. */
function windowOf({ shared, at }: CopySeries): number {
  const last = shared.lastIndexOf(true);
  return last < 0 ? 0 : (at[last + 1] ?? at[last]!);
}

function kindOf(name: string, values: readonly (readonly (bigint | undefined)[])[]): Kind {
  if (name === CONTROL) return 'control';
  if (GENERATIONS.includes(name)) return 'generation';
  if (INFORMATION.includes(name)) return 'information';
  const constant = values.every((column) => new Set(column).size <= 1);
  return constant && values.some((column) => column.length > 1) ? 'identity' : 'random';
}

/** Copies that share a value, directly or through others. */
function groupsOf(
  owners: ReadonlyMap<bigint, ReadonlySet<number>>,
  count: number,
): readonly (readonly number[])[] {
  const parent = Array.from({ length: count }, (_, i) => i);
  const root = (i: number): number => (parent[i] === i ? i : root(parent[i]!));
  for (const set of owners.values()) {
    const [first, ...others] = set;
    for (const other of others) parent[root(other)] = root(first!);
  }
  const groups = new Map<number, number[]>();
  for (let i = 0; i < count; i++) groups.set(root(i), [...(groups.get(root(i)) ?? []), i]);
  return [...groups.values()].filter((group) => group.length > 1);
}

function describeCopy(
  { name, steps, damaged, monotonic, realtime }: Recording,
  rows: readonly number[],
): CopyResult {
  const first = rows[0];
  const last = rows.at(-1);
  if (first === undefined || last === undefined)
    return { name, samples: steps.length, damaged, milliseconds: 0, interval: 0, clockStep: 0 };
  const milliseconds = (monotonic[last]! - monotonic[first]!) / 1000;
  // CLOCK_REALTIME is read second: where the guest stood in between, it is late. The least of a few samples is right.
  const offset = (some: readonly number[]) =>
    Math.min(...some.map((row) => realtime[row]! - monotonic[row]!)) / 1000;
  const clockStep = offset(rows.slice(-8)) - offset(rows.slice(0, 8));
  const gaps = rows.slice(1).map((row, i) => (monotonic[row]! - monotonic[rows[i]!]!) / 1000);
  const interval = gaps.sort((a, b) => a - b)[gaps.length >> 1] ?? 0;
  return { name, samples: rows.length, damaged, milliseconds, interval, clockStep };
}

/** A remedy that is reported and did not happen. */
function contradictions(sources: readonly SourceResult[]): readonly string[] {
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

/** "copies 1, 2 and 5". */
export function copyNumbers(group: readonly number[]): string {
  const numbers = group.map((i) => String(i + 1));
  return numbers.length === 1
    ? `copy ${numbers[0]}`
    : `copies ${numbers.slice(0, -1).join(', ')} and ${numbers.at(-1)}`;
}

function conclude(
  recordings: readonly Recording[],
  rows: readonly (readonly number[])[],
  sources: readonly SourceResult[],
  findings: readonly string[],
): Pick<Comparison, 'differ' | 'result'> {
  const cannot = (result: string) => ({ differ: undefined, result: `cannot tell: ${result}` });
  if (recordings.length < 2) return cannot('one copy has nothing to be compared with');
  const silent = rows.findIndex((own) => own.length === 0);
  if (silent >= 0) return cannot(`${recordings[silent]!.name} has no sample of its own`);
  const control = sources.find(({ kind }) => kind === 'control');
  if (control === undefined || control.groups.length !== 1 || control.groups[0]!.length !== recordings.length)
    return cannot(
      'these are not copies of one saved machine: the control, which always repeats in copies, does not',
    );
  const seen = sources.filter(({ state }) => state !== 'not compared');
  if (!seen.some(({ kind }) => kind === 'random' || kind === 'generation'))
    return cannot('no two copies have a source in common that has to differ');
  const failed = sources.filter((source) => source.failed);
  if (failed.length === 0 && findings.length === 0) {
    const allowed = seen.some(({ kind, state }) => kind === 'random' && state !== 'different');
    return {
      differ: true,
      result: `copies differ${allowed ? ' within the allowed window' : ' from their first sample'}`,
    };
  }
  const worst = failed.map(({ name, state, milliseconds }) =>
    state === 'alike' ? `${name} to the end` : `${name} for ${Math.ceil(milliseconds)} ms`,
  );
  return {
    differ: false,
    result: worst.length > 0 ? `copies are alike: ${worst.join(', ')}` : findings[0]!,
  };
}
