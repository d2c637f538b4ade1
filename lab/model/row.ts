/** One answer of CPUID, and the rows that the table of leaves begins with. */
import type { Cpu, Regs } from 'commonhv';
import type { Discovery } from 'commonhv/guest';
import { LEAF_BASIC, LEAF_FEATURES, LEAF_INTERFACES, LEAF_MSRS, LEAF_ROOT } from 'commonhv/spec';

export interface Row extends Regs {
  readonly leaf: number;
  readonly subleaf: number;
}

/** CommonHV's part: the hypervisor bit, its own leaves, and the leaves that the tuples point to. */
export async function readRows(cpu: Cpu, discovery: Discovery | undefined): Promise<readonly Row[]> {
  const rows: Row[] = [];
  const add = async (leaf: number, subleaf = 0) => {
    if (rows.some((row) => row.leaf === leaf && row.subleaf === subleaf)) return;
    rows.push({ leaf, subleaf, ...(await cpu.cpuid(leaf, subleaf)) });
  };
  await add(LEAF_BASIC);
  await add(LEAF_ROOT);
  await add(LEAF_INTERFACES);
  // Draft 1 counts its tuples from 0, the others from 1: one beyond the last shows where the list ends.
  const most = Math.min(discovery?.interfaces.length ?? 0, 16);
  for (let i = 1; i <= (discovery?.draft === 1 ? most : most + 1); i++) await add(LEAF_INTERFACES, i);
  await add(LEAF_FEATURES);
  await add(LEAF_MSRS);
  for (const { location } of discovery?.interfaces.slice(0, most) ?? []) await add(location);
  return rows;
}
