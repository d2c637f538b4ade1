/** Lines between the rows of a dump: headings, and rows that are damaged. */

/** A line that names a processor: its number, or `null` where it has none. */
export function readHeading(line: string): number | null | undefined {
  const match = HEADING.exec(line);
  if (match === null) return undefined;
  const digits = match.slice(1).find((group) => group !== undefined);
  return digits === undefined ? null : Number(digits);
}
const HEADING = new RegExp(
  [
    String.raw`(?:^|[\s>|:+-])(?:v?CPU|Processor|Thread)(?:[ #]{0,2}(\d{1,5}))?:\s*(?:$|(?=0x|CPUID))`,
    String.raw`CPU#(\d{1,5}) AffMask`, // AIDA64, older
    String.raw`CPU #(\d{1,5})(?: Virtual)?(?:\)|\s?\]-|\s_{2})`, // AIDA64, libcpuid
    String.raw`^\s*CPU Thread (\d{1,5})\s*$`, // CPU-Z
    String.raw`<processor id="(\d{1,5})">`, // RJCP.DLL.CpuId
  ].join('|'),
  'i',
);

/** A line that names the view that follows. */
export function readTable(line: string): string | undefined {
  return TABLE.exec(line)?.[1];
}
const TABLE =
  /\b((?:Raw|Host|(?:PV|HVM) (?:Max|Default|Def)|Domain \d+) policy|(?:Native|Emulated) cpuid)\s?:/i;

/** A line with the leaf whose subleaves follow (kcpuid). */
export function readLeafLine(line: string): number | undefined {
  const match = /0x([\da-f]{8}): subleafs:/i.exec(line);
  return match === null ? undefined : Number.parseInt(match[1]!, 16);
}

/** Whether a line that could not be read is a damaged row, rather than prose beside the dump. */
export function looksDamaged(line: string): boolean {
  return /\b0x[\da-f]{8} 0x[\da-f]{2}\b|\be[abcd]x=0x[\da-f]|\bCPUID [\da-f]{8}\b[^\n]{0,8}[\da-f]{2}|\b[\da-f]{8}:[\da-f]{8} ->|\b(?:basic|ext)_cpuid\[/i.test(
    line,
  );
}
