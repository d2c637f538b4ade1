/** Compares the recordings of copies of one saved machine: which sources give two copies the same values, and how long. */
import type { Comparison, CopyResult, CopySeries, Kind, SourceResult } from './comparison.ts';
import { acknowledgedEarly, contradictions } from './findings.ts';
import type { Recording } from './samples.ts';

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
  const findings = [...contradictions(sources), ...acknowledgedEarly(given, rows, sources)];
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
  const owners = sharedValues(values);
  const series = recordings.map(({ monotonic }, i) => ({
    shared: values[i]!.map((value) => value !== undefined && owners.has(value)),
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

/** The values that two copies or more have, with these copies: of millions of values most have one owner. */
function sharedValues(
  values: readonly (readonly (bigint | undefined)[])[],
): ReadonlyMap<bigint, ReadonlySet<number>> {
  const first = new Map<bigint, number>();
  const shared = new Map<bigint, Set<number>>();
  for (const [copy, column] of values.entries()) {
    for (const value of column) {
      if (value === undefined) continue;
      const other = first.get(value);
      if (other === undefined) first.set(value, copy);
      else if (other !== copy) {
        const owners = shared.get(value);
        if (owners === undefined) shared.set(value, new Set([other, copy]));
        else owners.add(copy);
      }
    }
  }
  return shared;
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
      'the control, a generator that the sampler seeds once, does not repeat in every copy: other machines, or saved before the sampler ran',
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
