/** `detect --diff A B`: which answers two machines give differently, in names, the hypervisor's leaves first. */
import { hex } from '../cpu.ts';
import {
  type CpuidDump,
  dump,
  isNonZero,
  missingLeaves,
  type Row,
  regsEqual,
  replay,
} from '../cpuid-dump.ts';
import { decoded, type Feature, featuresOf, placeOf } from './features.ts';
import { findingOf, verdict } from './finding.ts';
import { fitted, type Io, UsageError } from './io.ts';
import { openNative } from './processor.ts';
import { PROCESSOR_FEATURES } from './processor-features.ts';
import { readMachines } from './read-dump.ts';

export interface DiffOptions {
  readonly format: 'text' | 'json' | 'nfd' | 'prometheus';
  readonly quiet?: boolean | undefined;
}

/** One side's answers are aligned up to this width; a long list of names pushes no other line aside. */
const MAX_PADDED = 32;

interface Side {
  readonly name: string;
  readonly rows: ReadonlyMap<string, Row>;
  readonly verdict: string;
  readonly features: ReadonlyMap<string, Feature>;
}

/** One line of the result: a place, and both sides' answers. */
interface Difference {
  readonly place: string;
  readonly title: string;
  readonly a: string;
  readonly b: string;
}

/** Exit status as diff(1): 0 no difference, 1 differences, 2 trouble. One file is compared with this machine. */
export async function runDiff(
  files: readonly string[],
  { format, quiet }: DiffOptions,
  io: Io,
): Promise<number> {
  if (files.length > 2)
    throw new UsageError(
      `--diff: expected two dumps, or one for this machine against it, got ${files.length}`,
    );
  if (format !== 'text' && format !== 'json')
    throw new UsageError(`--diff with --format ${format}: expected text or json`);
  const sides = await Promise.all(files.map((file) => sideOfFile(file, io)));
  const [a, b] = sides.length === 1 ? [sides[0]!, await sideOfHere()] : [sides[0]!, sides[1]!];
  const differences = ordered(a, b);
  const oneSided =
    [...a.rows.keys()].filter((key) => !b.rows.has(key)).length +
    [...b.rows.keys()].filter((key) => !a.rows.has(key)).length;
  if (!quiet && format === 'json') {
    await io.out(
      `${JSON.stringify({ a: a.name, b: b.name, differences, notCompared: oneSided }, undefined, 2)}\n`,
    );
  } else if (!quiet) {
    const widest = Math.min(Math.max(...differences.map(({ a }) => a.length)), paddedWidth(differences, io));
    const lines = differences.map(({ place, title, a, b }) => [
      place,
      title,
      `${a.padEnd(widest)}  ->  ${b}`,
    ]);
    if (lines.length > 0) await io.out(`${a.name} -> ${b.name}\n\n${fitted(lines, io.width)}\n`);
    if (oneSided > 0) io.err(`commonhv: --diff: ${oneSided} rows are in one dump only and not compared`);
  }
  return differences.length > 0 ? 1 : 0;
}

async function sideOfFile(file: string, io: Io): Promise<Side> {
  const [machine, ...others] = await readMachines([file], io);
  if (others.length > 0)
    io.err(
      `commonhv: --diff: ${file} has ${others.length + 1} machines, and the first is compared: ${machine!.name}`,
    );
  const cpu = machine!.cpus.reduce((best, one) => (one.dump.length > best.dump.length ? one : best));
  return sideOf(machine!.name, cpu.dump, cpu.excerpt);
}

async function sideOfHere(): Promise<Side> {
  const processor = openNative();
  try {
    return await sideOf('this machine', await dump(processor.cpu), false);
  } finally {
    await processor.close();
  }
}

async function sideOf(name: string, table: CpuidDump, excerpt: boolean): Promise<Side> {
  const rows = table.filter(({ partial }) => !partial);
  const leaves = new Set(rows.map(({ leaf }) => leaf));
  const cpu = replay(table);
  const has = (leaf: number): boolean => leaves.has(leaf);
  const finding = await findingOf(cpu, missingLeaves(table, excerpt), has);
  const features = [
    ...(await featuresOf(cpu, finding, has)),
    ...(await decoded(cpu, PROCESSOR_FEATURES, 0, has)),
  ];
  return {
    name,
    rows: new Map(rows.map((row) => [`${row.leaf}.${row.subleaf}`, row])),
    verdict: verdict(finding),
    features: new Map(features.map((feature) => [placeOf(feature), feature])),
  };
}

/** In a terminal half of its line, beside the place and the title. */
function paddedWidth(differences: readonly Difference[], { width }: Pick<Io, 'width'>): number {
  if (width === undefined) return MAX_PADDED;
  const left = ['place', 'title'] as const;
  const used = left.reduce(
    (sum, name) => sum + 2 + Math.max(...differences.map((one) => one[name].length)),
    0,
  );
  return Math.max(0, Math.min(MAX_PADDED, Math.floor((width - used - '  ->  '.length) / 2)));
}

/** The hypervisor's leaves first, in names and then by register; then the processor's. */
function ordered(a: Side, b: Side): readonly Difference[] {
  const all = [...features(a, b), ...registers(a, b)];
  return [...headline(a, b), ...all.filter(isHypervisors), ...all.filter((one) => !isHypervisors(one))];
}

function headline(a: Side, b: Side): readonly Difference[] {
  return a.verdict === b.verdict ? [] : [{ place: 'hypervisor', title: '', a: a.verdict, b: b.verdict }];
}

/** Registers that both sides decode in the same way: the names that only one has, and numbers that differ. */
function features(a: Side, b: Side): readonly Difference[] {
  const list: Difference[] = [];
  for (const [place, mine] of a.features) {
    const theirs = b.features.get(place);
    if (theirs === undefined || theirs.interface !== mine.interface || theirs.value === mine.value) continue;
    const only = (one: Feature, other: Feature): string =>
      [
        ...one.names.filter((name) => !other.names.includes(name)),
        ...Object.entries(one.fields)
          .filter(([name, value]) => other.fields[name] !== value)
          .map(([name, value]) => (name === one.title ? `${value}` : `${name} ${value}`)),
        ...((one.unknown & ~other.unknown) === 0
          ? []
          : [`unknown bits ${hex((one.unknown & ~other.unknown) >>> 0)}`]),
      ].join(', ') || '-';
    list.push({
      place,
      title: `${mine.interface} ${mine.title}`,
      a: only(mine, theirs),
      b: only(theirs, mine),
    });
  }
  return list;
}

const REGISTERS = ['eax', 'ebx', 'ecx', 'edx'] as const;

/** The other rows that both sides recorded, register by register. */
function registers(a: Side, b: Side): readonly Difference[] {
  const list: (Difference & { readonly leaf: number })[] = [];
  for (const [key, mine] of a.rows) {
    const theirs = b.rows.get(key);
    if (theirs === undefined || regsEqual(mine, theirs) || (!isNonZero(mine) && !isNonZero(theirs))) continue;
    for (const register of REGISTERS) {
      const place = placeOf({ ...mine, register });
      const isNamed =
        a.features.get(place)?.interface === b.features.get(place)?.interface && a.features.has(place);
      const [x, y] = [mine[register], theirs[register]];
      if (isNamed || x === y || isPerProcessor(mine.leaf, register, x, y)) continue;
      list.push({ leaf: mine.leaf, place, title: '', a: hex(x), b: hex(y) });
    }
  }
  return list.sort((x, y) => x.leaf - y.leaf).map(({ leaf: _, ...difference }) => difference);
}

const isHypervisors = ({ place }: Difference): boolean => place.startsWith('0x4');

/** APIC ids differ between the processors of one machine. */
function isPerProcessor(leaf: number, register: (typeof REGISTERS)[number], a: number, b: number): boolean {
  if (leaf === 1 && register === 'ebx') return ((a ^ b) & 0x00ff_ffff) === 0;
  if (leaf === 0xb || leaf === 0x1f || leaf === 0x8000_0026) return register === 'edx';
  return leaf === 0x8000_001e && register === 'eax';
}
