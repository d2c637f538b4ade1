/** One line of a dump, whichever tool printed it: the registers of a leaf. */
import {
  type Context,
  type Dialect,
  four,
  HEX,
  number,
  plain,
  type RowText,
  registersAt,
  WORD,
} from './dialect.ts';
import { LOG_DIALECTS } from './log-dialects.ts';
import { isIndexed } from './walk.ts';

const SEPARATOR = String.raw`[\s|:,;=>\])('"\[*-]{0,24}`;
const register = (name: string): string => String.raw`${name}[\s|]{0,4}[=:][\s|'"]{0,4}${HEX}['"]?`;
// A value that goes on with another character was damaged.
const REGISTERS = `${['eax', 'ebx', 'ecx', 'edx'].map(register).join(String.raw`[\s|,;]{0,24}`)}(?!\\w)`;
/** Between two columns. */
const GAP = String.raw`[\s|,;:"'(){}[\]]{1,24}`;
const words = (between: string): string => four(WORD, between);

/** libcpuid's arrays: the first leaf of each, and whether the index counts subleaves. */
const ARRAYS: Readonly<Record<string, readonly [first: number, subleaves: boolean]>> = {
  basic_cpuid: [0, false],
  ext_cpuid: [0x8000_0000, false],
  intel_fn4: [0x04, true],
  intel_fn11: [0x0b, true],
  intel_fn12h: [0x12, true],
  intel_fn14h: [0x14, true],
  amd_fn8000001dh: [0x8000_001d, true],
  amd_fn80000026h: [0x8000_0026, true],
};

const DIALECTS: readonly Dialect[] = [
  // cpuid -r as it prints, which is most of all dumps: the next one reads it too, in twice the time
  {
    pattern:
      /^\s{0,8}0x([\da-f]{8}) 0x([\da-f]{2}): eax=0x([\da-f]{8}) ebx=0x([\da-f]{8}) ecx=0x([\da-f]{8}) edx=0x([\da-f]{8})\b/gi,
  },
  // Todd Allen's cpuid -r, kcpuid, a kernel's or a hypervisor's log, libvirt's <cpuid eax_in=…>
  {
    pattern: new RegExp(
      String.raw`(?:0x(?<!\bflags\W{1,4}0x)([\da-f]{1,8})|\b([\da-f]{8}))h?(?:${SEPARATOR}(?:(?:sub-?leaf|index|ecx_in)[\s=:'"]{0,3})?${HEX})??${SEPARATOR}\b(?:->\s?)?${REGISTERS}`,
      'gi',
    ),
    read: (match) => ({
      leaf: number(match[1] ?? match[2]),
      subleaf: number(match[3]),
      ...registersAt(match, 4),
    }),
  },
  // kcpuid's subleaves, below a line with their leaf; their numbers are decimal
  {
    pattern: new RegExp(String.raw`(?:^|[\s>|])(\d{1,3}):\s{1,8}${REGISTERS}`, 'gi'),
    read: (match, { leaf }) =>
      leaf === undefined ? {} : { leaf, subleaf: Number(match[1]), ...registersAt(match, 2) },
  },
  // AIDA64, InstLatx64, libcpuid's tests, pytorch's cpuid-dump
  {
    pattern: new RegExp(
      String.raw`CPUID[\s:|]{0,8}${WORD}[\s:|]{0,24}(?:\[SL ([\da-f]{2})\][\s:|]{0,8})?${words(String.raw`\s?-\s?`)}(?:[^\n]{0,80}\[SL ([\da-f]{2})\])?`,
      'gi',
    ),
    read: (match) => ({
      leaf: number(match[1]),
      subleaf: number(match[7] ?? match[2]),
      ...registersAt(match, 3),
    }),
  },
  // tycho/cpuid, its older forms too
  {
    pattern: new RegExp(
      String.raw`CPUID ${WORD}(?::|, index )?([\da-f]{1,8})?(?:, results)?\s{0,2}[=:]?\s{0,2}${words(String.raw`[\s|]{1,4}`)}`,
      'gi',
    ),
  },
  // xen-cpuid -p, XTF: subleaf ffffffff says that the leaf takes none
  {
    pattern: new RegExp(String.raw`${WORD}:${WORD}\s{0,4}->\s{0,4}${words(':')}`, 'gi'),
    read(match, { table }) {
      const leaf = number(match[1]);
      const subleaf = number(match[2]);
      // A policy has the highest leaf there and no more: Xen makes its own leaves when they are asked for.
      if (leaf >>> 28 === 4 && table?.endsWith('policy')) return {};
      return { leaf, subleaf: subleaf === 0xffff_ffff ? 0 : subleaf, ...registersAt(match, 3), table };
    },
  },
  // libcpuid's raw dump
  {
    pattern: new RegExp(
      String.raw`\b(${Object.keys(ARRAYS).join('|')})\[(\d{1,3})\]\s?=\s?${words(String.raw`[\s|]{1,4}`)}`,
      'gi',
    ),
    read(match) {
      const [first, subleaves] = ARRAYS[match[1]!.toLowerCase()]!;
      const index = Number(match[2]);
      return subleaves
        ? { leaf: first, subleaf: index, ...registersAt(match, 3) }
        : { leaf: first + index, subleaf: 0, ...registersAt(match, 3) };
    },
  },
  ...LOG_DIALECTS,
];

/** Columns of bare numbers: a leaf, a subleaf or none, four registers (CPU-Z, jrmwng, tables, source code, comma-separated values). */
const COLUMNS: Dialect = {
  pattern: new RegExp(
    String.raw`(?:^[\s|>"'({[,;:*-]{0,40}|[|>"'({[:]\s{0,8})${HEX}${GAP}(?:${HEX}${GAP})?${four(HEX, GAP)}(?=$|[\s|,;"')}\]])`,
    'gi',
  ),
  read(match, context) {
    const row = plain(match, context);
    const { leaf = 0, ebx = 0 } = row;
    // Without its last number a row with a subleaf looks like one without.
    const isShifted = leaf >>> 28 === 4 && ebx >>> 8 === leaf >>> 8;
    if (!isPlausible(leaf) || isShifted) return {};
    // CPU-Z writes no subleaves: those of a leaf follow each other.
    if (match[2] === undefined && leaf === context.leaf && isIndexed(leaf))
      row.subleaf = (context.subleaf ?? 0) + 1;
    context.leaf = leaf;
    context.subleaf = row.subleaf;
    return row;
  },
};
/** Groups of two or four digits, as programs print memory. */
const HEX_DUMP = /^[\s>|]{0,8}[\da-f]{4,16}:?\s{1,4}(?:[\da-f]{2}){1,2}(?:\s{1,2}(?:[\da-f]{2}){1,2}){4}/i;

/** The first row of `line` from `from` on, or `undefined`. `columns`: also rows of bare numbers, which prose can look like. */
export function readRow(line: string, from: number, context: Context, columns: boolean): RowText | undefined {
  if (columns) return HEX_DUMP.test(line) ? undefined : attempt(COLUMNS, line, from, context);
  const { likely } = context;
  const found = likely && attempt(likely, line, from, context);
  if (found !== undefined) return found;
  for (const dialect of DIALECTS) {
    const row = dialect === likely ? undefined : attempt(dialect, line, from, context);
    if (row === undefined) continue;
    context.likely = dialect;
    return row;
  }
  return undefined;
}

function attempt(
  { pattern, read = plain }: Dialect,
  line: string,
  from: number,
  context: Context,
): RowText | undefined {
  pattern.lastIndex = from;
  const match = pattern.exec(line);
  if (match === null) return undefined;
  const { leaf, subleaf = 0, eax = 0, ebx = 0, ecx = 0, edx = 0, table, logged } = read(match, context);
  if (leaf === undefined) return undefined;
  if (edx < 0x1000_0000 && pattern.lastIndex >= line.trimEnd().length && isCutOff(match[0])) return undefined;
  return { leaf, subleaf, eax, ebx, ecx, edx, table, logged, start: match.index, end: pattern.lastIndex };
}

/** Three values of eight digits, and a shorter one at the end of the line: the line was broken inside of a number. */
function isCutOff(row: string): boolean {
  return /[\da-f]{8}\b\W+(?:e?cx\W+)?(?:0x)?[\da-f]{8}\b\W+(?:e?dx\W+)?(?:0x)?[\da-f]{1,7}$/i.test(
    row.trimEnd(),
  );
}

/** Ranges in which tools ask. */
function isPlausible(leaf: number): boolean {
  const range = leaf >>> 24;
  if (range === 0) return leaf < 0x100;
  return (
    (range >= 0x40 && range <= 0x4f) ||
    range === 0x20 ||
    leaf >>> 12 === 0x8_0000 ||
    leaf >>> 16 === 0x8086 ||
    leaf >>> 8 === 0xc0_0000
  );
}
