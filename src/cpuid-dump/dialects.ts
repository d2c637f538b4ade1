/** One line of a dump, whichever tool printed it: a processor's heading, a table's name, or the registers of a leaf. */
import type { Row } from './walk.ts';

/** The registers of a leaf. `table` names one of several views in a text: VirtualBox prints its guest's and its host's. */
export interface RowText extends Omit<Row, 'indexed'> {
  readonly table?: string | undefined;
  /** Where the row ends in its line. */
  readonly end: number;
  /** Where it begins. */
  readonly start: number;
}

/** The state left by earlier lines. */
export interface Context {
  /** The leaf whose subleaves follow (kcpuid), or whose host's registers follow (VirtualBox). */
  leaf?: number | undefined;
  subleaf?: number | undefined;
  /** The view that rows belong to from here on (xen-cpuid, XTF). */
  table?: string | undefined;
}

const SEPARATOR = String.raw`[\s|:,;=>\])('"\[*-]{0,24}`;
const HEX = String.raw`(?:0x)?([\da-f]{1,8})h?`;
const WORD = String.raw`([\da-f]{8})`;
const register = (name: string): string => String.raw`${name}[\s|]{0,4}[=:][\s|'"]{0,4}${HEX}['"]?`;
// A value that goes on with another character was damaged.
const REGISTERS = `${['eax', 'ebx', 'ecx', 'edx'].map(register).join(String.raw`[\s|,;]{0,24}`)}(?!\\w)`;
const words = (between: string): string => Array(4).fill(WORD).join(between);

type Read = (
  match: RegExpExecArray,
  context: Context,
) => Partial<Row> & { readonly table?: string | undefined };
interface Dialect {
  readonly pattern: RegExp;
  /** By default the groups are leaf, subleaf, and the four registers. */
  readonly read?: Read;
}

const number = (text: string | undefined): number => (text === undefined ? 0 : Number.parseInt(text, 16));
const registersAt = (match: RegExpExecArray, at: number) => ({
  eax: number(match[at]),
  ebx: number(match[at + 1]),
  ecx: number(match[at + 2]),
  edx: number(match[at + 3]),
});
/** Three registers of eight digits, and a shorter one at the end of the line: the line was broken inside of a number. */
function isCutOff(match: RegExpExecArray, at: number): boolean {
  const lengths = [0, 1, 2, 3].map((i) => match[at + i]!.length);
  const padded = lengths.slice(0, 3).every((length) => length === 8);
  return padded && lengths[3]! < 8 && match.index + match[0].length === match.input.trimEnd().length;
}

const plain: Read = (match) => ({
  leaf: number(match[1]),
  subleaf: number(match[2]),
  ...registersAt(match, 3),
});

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
      String.raw`(?:0x([\da-f]{1,8})|\b([\da-f]{8}))h?(?:${SEPARATOR}(?:(?:sub-?leaf|index|ecx_in)[\s=:'"]{0,3})?${HEX})??${SEPARATOR}\b(?:->\s?)?${REGISTERS}`,
      'gi',
    ),
    read: (match) =>
      isCutOff(match, 4)
        ? {}
        : { leaf: number(match[1] ?? match[2]), subleaf: number(match[3]), ...registersAt(match, 4) },
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
    read: (match, { table }) => {
      const subleaf = number(match[2]);
      return {
        leaf: number(match[1]),
        subleaf: subleaf === 0xffff_ffff ? 0 : subleaf,
        ...registersAt(match, 3),
        table,
      };
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
  // FreeBSD's cpucontrol -i and -I
  {
    pattern: new RegExp(
      String.raw`cpuid level ${HEX}(?:,\s?level_type ${HEX})?:\s?${Array(4).fill(HEX).join(String.raw`[\s,]{1,4}`)}`,
      'gi',
    ),
  },
  // VirtualBox.log: the guest's registers, and the host's below or instead
  {
    pattern: new RegExp(
      String.raw`\b(Gst|Hst):\s{1,24}${WORD}(?:/([\da-f]{1,8}))?\s{1,8}${words(String.raw`\s{1,4}`)}`,
      'g',
    ),
    read(match, context) {
      context.leaf = number(match[2]);
      context.subleaf = number(match[3]);
      return {
        leaf: context.leaf,
        subleaf: context.subleaf,
        ...registersAt(match, 4),
        table: VIEWS[match[1]!],
      };
    },
  },
  {
    pattern: new RegExp(String.raw`\b(Hst):\s{1,24}${words(String.raw`\s{1,4}`)}`, 'g'),
    read: (match, { leaf, subleaf }) =>
      leaf === undefined ? {} : { leaf, subleaf: subleaf ?? 0, ...registersAt(match, 2), table: VIEWS.Hst },
  },
];
const VIEWS: Readonly<Record<string, string>> = { Gst: "VirtualBox's guest", Hst: "VirtualBox's host" };

/** Columns of bare numbers: a leaf, a subleaf or none, four registers (jrmwng, tables, comma-separated values). */
const COLUMNS: Dialect = {
  pattern: new RegExp(
    String.raw`(?:^|[\s|>"])${HEX}[\s|,;:"]{1,24}(?:${HEX}[\s|,;:"]{1,24})?${Array(4).fill(HEX).join(String.raw`[\s|,;"]{1,24}`)}(?=$|[\s|,;"])`,
    'gi',
  ),
};

/** The dialect that matched last is tried first. */
let likely = DIALECTS[0]!;

/** The first row of `line` from `from` on, or `undefined`. `columns`: also rows of bare numbers, which prose can look like. */
export function readRow(line: string, from: number, context: Context, columns: boolean): RowText | undefined {
  const found = attempt(likely, line, from, context);
  if (found !== undefined) return found;
  for (const dialect of columns ? [COLUMNS] : DIALECTS) {
    const row = dialect === likely ? undefined : attempt(dialect, line, from, context);
    if (row === undefined) continue;
    if (!columns) likely = dialect;
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
  const { leaf, subleaf = 0, eax = 0, ebx = 0, ecx = 0, edx = 0, table } = read(match, context);
  if (leaf === undefined || (read === plain && pattern === COLUMNS.pattern && !isPlausible(leaf)))
    return undefined;
  const row = { leaf, subleaf, eax, ebx, ecx, edx };
  return { ...row, table, start: match.index, end: pattern.lastIndex };
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

/** A line that names a processor: its number, or `null` where it has none. */
export function readHeading(line: string): number | null | undefined {
  if (!line.includes('CPU')) return undefined;
  const match = HEADING.exec(line);
  if (match === null) return undefined;
  const digits = match[1] ?? match[2] ?? match[3];
  return digits === undefined ? null : Number(digits);
}
const HEADING =
  /(?:^|[\s>|:+-])CPU(?:[ #]{1,2}(\d{1,5}))?:\s*(?:$|(?=0x|CPUID))|CPU#(\d{1,5}) AffMask|CPU #(\d{1,5})(?: Virtual)?(?:\)|\s?\]-|\s_{2})/;

/** A line that names the view that follows. */
export function readTable(line: string): string | undefined {
  return TABLE.exec(line)?.[1];
}
const TABLE =
  /\b((?:Raw|Host|(?:PV|HVM) (?:Max|Default|Def)|Domain \d+) policy|(?:Native|Emulated) cpuid)\s?:/i;

/** A line with the leaf whose subleaves follow (kcpuid). */
export function readLeafLine(line: string): number | undefined {
  const match = /0x([\da-f]{8}): subleafs:/i.exec(line);
  return match === null ? undefined : number(match[1]);
}

/** Whether a line that could not be read is a damaged row, rather than prose beside the dump. */
export function looksDamaged(line: string): boolean {
  return /\b0x[\da-f]{8} 0x[\da-f]{2}\b|\be[abcd]x=0x[\da-f]|\bCPUID [\da-f]{8}\b|\b[\da-f]{8}:[\da-f]{8} ->|\b(?:basic|ext)_cpuid\[/i.test(
    line,
  );
}
