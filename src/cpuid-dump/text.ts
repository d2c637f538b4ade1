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
  if (isBinary(raw)) {
    const kind = PACKED.find(([marks]) => marks.some((mark) => raw.startsWith(mark)))?.[1];
    const problem = `no leaf could be read: ${kind ?? 'it is not text'}`;
    return { cpus: [], processors: [], problems: [problem] };
  }
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

/** Files out of which text has to be taken first, by the first bytes. */
const PACKED: readonly (readonly [readonly string[], string])[] = [
  [['\x1f\ufffd', '\x1f\x8b'], 'it is gzip: unpack it first'],
  [['PK\x03\x04'], 'it is a ZIP archive or an office document: take the text out first'],
  [['\ufffd7zXZ', '7z\ufffd', 'BZh', '(\ufffd/\ufffd'], 'it is compressed: unpack it first'],
  [['\ufffdPNG', '\ufffd\ufffd\ufffd', 'GIF8', 'RIFF'], 'it is a picture: the text is needed'],
  [['%PDF'], 'it is PDF: take the text out first'],
  [['\x7fELF', 'MZ'], 'it is a program'],
];

function readText(raw: string): Reading {
  const json = /^\s{0,100}[{[]/.test(raw) ? readJson(raw) : undefined;
  if (json !== undefined && json.sections.length > 0) return json;
  const text = normalise(raw);
  const reading = readRows(text, false);
  if (reading.sections.length > 0) return reading;
  // Truncated, with the shape of JSON and not only a bracket at the start of a log.
  if (json !== undefined && json.problems[0] !== TRUNCATED) return json;
  if (json !== undefined && /^\s{0,100}[{[]\s{0,100}["[{}\]]/.test(raw)) return json;
  const begin = text.search(/\{\s{0,100}"cpus"\s{0,100}:/);
  if (begin >= 0) return readJson(text.slice(begin, text.lastIndexOf('}') + 1));
  if (otherKind(text) !== undefined) return reading;
  const columns = readRows(text, true);
  return columns.sections.length > 0 ? columns : reading;
}

/** Texts that name a hypervisor, or a processor's features, and hold no leaf, by a mark of each. */
const OTHERS: readonly (readonly [RegExp, string])[] = [
  [/^CPU implementer[ \t]{0,8}:/m, '/proc/cpuinfo of an Arm processor, which has no CPUID'],
  [/^processor[ \t]{0,8}: \d/m, '/proc/cpuinfo holds no CPUID leaves'],
  [/^Architecture: /m, 'lscpu prints no CPUID leaves'],
  [/feature information \(1\/edx\)|version information \(1\/eax\)/, 'cpuid printed it decoded: run cpuid -r'],
  [/^CPU features:\n=+$|^CPUID_0x[\da-f]+_ECX\[/m, 'kcpuid printed it decoded: run kcpuid -r'],
  [/^nr_features: \d|^(?:Static|Dynamic) sets:/m, 'xen-cpuid printed feature words: run xen-cpuid -p'],
  [/\b(?:Raw|Host|PV|HVM)\b\s+[\da-f]{8}:[\da-f]{8}:/i, 'xen-cpuid printed feature words: run xen-cpuid -p'],
  [/^x86info v/m, 'x86info printed it decoded: run x86info -r'],
  [/^CPU Info[^\n]{0,40}:\n-{4}/m, 'libcpuid printed it decoded: run cpuid_tool --save=-'],
  [/^Coreinfo v/m, 'Coreinfo prints no CPUID leaves'],
  [/^# dmidecode |^Handle 0x[\da-f]{4}, DMI type/im, 'dmidecode shows the firmware, not CPUID'],
  [/^machdep\.cpu\./m, 'sysctl prints no CPUID leaves'],
  [/^cpu\d+: (?:highest (?:basic|hypervisor|extended) info|features\d?) /m, 'cpuctl prints it decoded'],
  [/<(?:domain|domainC|c)apabilities>|<cpu mode=/, 'libvirt names features and no CPUID leaves'],
  [
    /^\[[ \d.]{5,20}\] (?:Linux version|Hypervisor detected:|Hyper-V:)/m,
    "a kernel's log holds no CPUID leaves",
  ],
  [
    /^(?:[\da-f]{7,8}:?|\*)(?: {1,2}[\da-f]{4}){8}|^[\da-f]{8}(?: {1,2}[\da-f]{2}){16}/m,
    'a hex dump does not tell which leaf it is',
  ],
  [
    /^\s{0,9}(?:kvm|qemu|vmware|xen|microsoft|oracle|hyperv|virtualbox|bhyve|amazon|none|parallels|wsl|docker|lxc)\s/,
    'the name of a hypervisor holds no CPUID leaves',
  ],
];

const otherKind = (text: string): string | undefined =>
  OTHERS.find(([mark]) => mark.test(text.slice(0, 65_536)))?.[1];

function emptyReason(text: string): string {
  const other = otherKind(text);
  if (other === undefined) return 'no leaf could be read';
  return `no leaf could be read: ${other}${other.includes(' run ') || other.includes('Arm') ? '' : '; run cpuid -r or commonhv dump on that machine'}`;
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
