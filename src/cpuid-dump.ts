/** A processor's CPUID leaves as a table: taken from a `Cpu`, and a `SyncCpu` again. @module */
import type { Cpu, Regs, SyncCpu } from './cpu.ts';
import { bare } from './cpu.ts';
import type { CpuidDump } from './cpuid-dump/walk.ts';
import { walkLeaves } from './cpuid-dump/walk.ts';
import { ZEROS } from './spec/leaves.ts';

export { DUMP_FORMATS, type DumpFormat, formatDump } from './cpuid-dump/format.ts';
export { type Inconclusive, missingLeaves } from './cpuid-dump/missing.ts';
export { type Parsed, parseDump, type Recorded, type RecordedCpu } from './cpuid-dump/text.ts';
export { type CpuidDump, isIndexed, isNonZero, type Row, regsEqual } from './cpuid-dump/walk.ts';

/**
 * The leaves that a processor has: basic, extended, every slot of the scan that answers for itself, CommonHV's, and those that
 * its tuples locate. Bounded whatever it answers: at most 2^16 CPUIDs, and the rest of a table beyond that is left out.
 */
export async function dump(cpu: Cpu): Promise<CpuidDump> {
  const walk = walkLeaves();
  let step = walk.next();
  while (!step.done) step = walk.next(await cpu.cpuid(step.value.leaf, step.value.subleaf));
  return step.value;
}

/** The same of a processor that answers at once. */
export function dumpSync(cpu: SyncCpu): CpuidDump {
  const walk = walkLeaves();
  let step = walk.next();
  while (!step.done) step = walk.next(cpu.cpuid(step.value.leaf, step.value.subleaf));
  return step.value;
}

/** A processor that answers from the table; all its MSRs fault. */
export function replay(table: CpuidDump): SyncCpu {
  const leaves = new Map<number, { indexed: boolean; subleaves: Map<number, Regs> }>();
  for (const { leaf, subleaf, indexed, eax, ebx, ecx, edx } of table) {
    const known = leaves.get(leaf) ?? { indexed, subleaves: new Map<number, Regs>() };
    leaves.set(leaf, known);
    // Of two rows for one question the first counts, as in a table that the kernel searches from its top.
    if (!known.subleaves.has(subleaf)) known.subleaves.set(subleaf, { eax, ebx, ecx, edx });
  }
  return {
    ...bare,
    cpuid(leaf, subleaf) {
      const known = leaves.get(leaf);
      return known?.subleaves.get(known.indexed ? subleaf : 0) ?? ZEROS;
    },
  };
}
