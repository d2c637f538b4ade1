/** CPUID dumps from text, as bug reports and files carry them. */
import { decodeText, redecode } from './encoding.ts';
import { readJson, TRUNCATED } from './json.ts';
import { normalise } from './normalise.ts';
import { type Reading, readRows } from './rows.ts';
import { type Assembled, assemble, type Leaves } from './sections.ts';
import type { CpuidDump, Row } from './walk.ts';
import { isIndexed, regsEqual } from './walk.ts';

/** A processor's dump, and where it comes from. */
export interface Recorded {
  readonly dump: CpuidDump;
  /** The number in the processor's heading; `undefined` where there is none. */
  readonly number?: number | undefined;
}

/** A processor of a text. */
export interface RecordedCpu extends Recorded {
  /** The machine that it belongs to, counted from 0 in the text. */
  readonly machine: number;
  /** A view in the text, such as the host's in VirtualBox.log, or a side of a comparison. */
  readonly view?: string | undefined;
  /** The line with which it begins. */
  readonly line: number;
  /** Rows may be left out, as in a comparison. */
  readonly excerpt: boolean;
}

/** A text that was read. */
export interface Parsed {
  /** One dump for each processor of the text; none where no leaf could be read. */
  readonly cpus: readonly CpuidDump[];
  /** The same with their numbers and machines. */
  readonly processors: readonly RecordedCpu[];
  /** One readable line for each kind of problem. */
  readonly problems: readonly string[];
}

/**
 * Reads the output of `cpuid` (raw, or decoded for its vendor strings), AIDA64, libcpuid, tycho/cpuid, kcpuid, xen-cpuid, XTF,
 * cpucontrol, VirtualBox and `formatDump`, as files or inside of mail, logs, web pages and comparisons. Never throws: lines
 * that cannot be read are left out and reported. Linear in the length of the text.
 */
export function parseDump(input: string | Uint8Array): Parsed {
  const raw = typeof input === 'string' ? redecode(input) : decodeText(input);
  if (isBinary(raw)) return { cpus: [], processors: [], problems: ['no leaf could be read: it is not text'] };
  const { sections, problems } = readText(raw);
  const processors = assemble(sections).map(recorded);
  return {
    cpus: processors.map(({ dump }) => dump),
    processors,
    problems: processors.length === 0 ? [...problems, emptyReason(raw)] : problems,
  };
}

/** Whether more than an eighth of a text are control characters, or bytes of no encoding: chance can make rows of such. */
function isBinary(raw: string): boolean {
  let strange = 0;
  for (let i = 0; i < raw.length; i++) {
    const code = raw.charCodeAt(i);
    if (code === 0xfffd || (code < 0x20 && (code < 8 || code > 13) && code !== 0x1b)) strange++;
  }
  return strange * 8 > raw.length;
}

function readText(raw: string): Reading {
  const json = /^\s{0,100}[{[]/.test(raw) ? readJson(raw) : undefined;
  if (json !== undefined && (json.sections.length > 0 || json.problems[0] !== TRUNCATED)) return json;
  const text = normalise(raw);
  const reading = readRows(text, false);
  if (reading.sections.length > 0) return reading;
  // The shape of JSON, and not only a bracket at the start of a log.
  if (json !== undefined && /^\s{0,100}[{[]\s{0,100}["[{}\]]/.test(raw)) return json;
  const begin = text.search(/\{\s{0,100}"cpus"\s{0,100}:/);
  if (begin >= 0) return readJson(text.slice(begin, text.lastIndexOf('}') + 1));
  const columns = readRows(text, true);
  return columns.sections.length > 0 ? columns : reading;
}

/** Texts that name a hypervisor and hold no leaf, by a mark of each. */
const OTHERS: readonly (readonly [RegExp, string])[] = [
  [/^processor[ \t]{0,8}: \d/m, '/proc/cpuinfo holds no CPUID leaves'],
  [/^Architecture: /m, 'lscpu prints no CPUID leaves'],
  [/feature information \(1\/edx\)|version information \(1\/eax\)/, 'cpuid printed it decoded: run cpuid -r'],
  [/\b(?:Raw|Host|PV|HVM)\b\s+[\da-f]{8}:[\da-f]{8}:/i, 'xen-cpuid printed feature words: run xen-cpuid -p'],
];

function emptyReason(text: string): string {
  const other = OTHERS.find(([mark]) => mark.test(text.slice(0, 65_536)))?.[1];
  return `no leaf could be read${other === undefined ? '' : `: ${other}`}`;
}

function recorded({ leaves, number, machine, view, line, excerpt }: Assembled): RecordedCpu {
  return { dump: dumpOf(leaves), number, machine, view, line, excerpt };
}

/** A text does not say which leaves are indexed: those of the manuals, and those that answer differently. */
function dumpOf(leaves: Leaves): CpuidDump {
  const rows: Row[] = [];
  for (const [leaf, subleaves] of leaves) {
    const zeroth = subleaves.get(0);
    const alike = zeroth !== undefined && [...subleaves.values()].every((regs) => regsEqual(regs, zeroth));
    if (alike && !isIndexed(leaf)) rows.push({ leaf, subleaf: 0, indexed: false, ...zeroth });
    else for (const [subleaf, regs] of subleaves) rows.push({ leaf, subleaf, indexed: true, ...regs });
  }
  return rows.sort((a, b) => a.leaf - b.leaf || a.subleaf - b.subleaf);
}
