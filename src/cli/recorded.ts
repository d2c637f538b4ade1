/** The finding of a recorded machine: of its best recorded processor, with a word where another one's answers differ. */
import { hex, type SyncCpu } from '../cpu.ts';
import { type CpuidDump, missingLeaves, type RecordedCpu, replay } from '../cpuid-dump.ts';
import { type Finding, findingOf } from './finding.ts';
import type { Io } from './io.ts';
import { printable } from './io.ts';
import type { RecordedMachine } from './read-dump.ts';

export interface Found {
  readonly cpu: RecordedCpu;
  readonly finding: Finding;
}

/** Only answers that two processors have both recorded can disagree. */
export async function findingOfMachine({ name, cpus }: RecordedMachine, io: Io): Promise<Found> {
  // Processors of a machine are alike, and a dump can have thousands: each kind is asked once.
  const kinds = new Map<string, Found>();
  for (const cpu of cpus) {
    const key = keyOf(cpu.dump);
    if (kinds.has(key)) continue;
    const leaves = new Set(cpu.dump.map(({ leaf }) => leaf));
    const missing = missingLeaves(cpu.dump, cpu.excerpt);
    kinds.set(key, { cpu, finding: await findingOf(replay(cpu.dump), missing, (leaf) => leaves.has(leaf)) });
  }
  const all = [...kinds.values()];
  const open = all.map(({ finding }) => finding.missing.size);
  const shown = all[open.indexOf(Math.min(...open))]!;
  for (const other of all) {
    const difference = other === shown ? undefined : differs(other, shown);
    if (difference === undefined) continue;
    io.err(
      `commonhv: ${name}: the processors disagree: ${title(other.cpu, cpus)} differs from ${title(shown.cpu, cpus)}, which is shown here: ${difference}`,
    );
    break;
  }
  return shown;
}

/** The part of a dump that detection reads. */
function keyOf(dump: CpuidDump): string {
  const key: (number | boolean)[] = [];
  for (const { leaf, subleaf, eax, ebx, ecx, edx } of dump) {
    if (leaf === 1) key.push(leaf, ecx >>> 31);
    else if (leaf === 0 || leaf === 0x21 || leaf >>> 28 === 4) key.push(leaf, subleaf, eax, ebx, ecx, edx);
    else if (leaf === 0x8000_0000) key.push(leaf);
  }
  return key.join();
}

function title({ number, line }: RecordedCpu, cpus: readonly RecordedCpu[]): string {
  if (number !== undefined) return `CPU ${number}`;
  return cpus.length > 1 ? `the processor at line ${line}` : 'the processor';
}

/** The first recorded answer that differs, in words. */
function differs(a: Found, b: Found): string | undefined {
  const [first, second] = [a.finding, b.finding];
  const recorded = (answer: string): boolean => answer !== 'not recorded';
  if (
    recorded(first.hypervisorBit) &&
    recorded(second.hypervisorBit) &&
    first.hypervisorBit !== second.hypervisorBit
  ) {
    return `the hypervisor bit is ${first.hypervisorBit === 'yes' ? 'set' : 'clear'}`;
  }
  if (recorded(first.commonhv) && recorded(second.commonhv)) {
    const [mine, theirs] = [first, second].map(({ detection }) => JSON.stringify(detection.commonhv));
    if (mine !== theirs) return 'its CommonHV is another one';
  }
  for (const [one, other, text] of [
    [first, b, 'has'],
    [second, a, 'lacks'],
  ] as const) {
    for (const { location, signature } of one.interfaces) {
      const there = other.finding.interfaces.some(
        (found) => found.location === location && found.signature === signature,
      );
      const asked = other.cpu.dump.some(({ leaf }) => leaf === location);
      if (!there && asked) return `it ${text} "${printable(signature)}" at ${hex(location)}`;
    }
  }
  return undefined;
}

/** The processor that answers from a dump. */
export const replayed = ({ dump }: RecordedCpu): SyncCpu => replay(dump);

/** Whether a dump has a leaf with all its registers. */
export function leavesOf({ dump }: RecordedCpu): (leaf: number) => boolean {
  const leaves = new Set(dump.filter(({ partial }) => !partial).map(({ leaf }) => leaf));
  return (leaf) => leaves.has(leaf);
}
