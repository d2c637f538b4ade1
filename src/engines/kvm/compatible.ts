/** Whether a saved state can go on in a machine: refusals, each in one line. */
import { hex, MachineError } from '../../cpu.ts';
import { type CpuidDump, type Row, regsEqual } from '../../cpuid-dump.ts';
import type { ParsedState } from './saved-state.ts';
import type { VmOptions } from './vm.ts';

/** Refuses to show a saved guest other leaves than those that it has seen: leaves never change in a machine's life. */
export function checkLeaves(saved: CpuidDump, shown: CpuidDump): void {
  if (saved.length === shown.length && saved.every((row, i) => sameRow(row, shown[i]!))) return;
  const key = (row: Row): string =>
    JSON.stringify([row.leaf, row.subleaf, row.eax, row.ebx, row.ecx, row.edx]);
  const there = new Set(shown.map(key));
  const known = new Set(saved.map(key));
  const other = saved.find((row) => !there.has(key(row))) ?? shown.find((row) => !known.has(key(row)));
  if (other === undefined) return;
  throw new MachineError(
    `state: its guest was shown another CPUID leaf ${hex(other.leaf)}, subleaf ${other.subleaf}, than this layer and host CPU have`,
    { code: 'refused' },
  );
}

const sameRow = (a: Row, b: Row): boolean => a.leaf === b.leaf && a.subleaf === b.subleaf && regsEqual(a, b);

/** Refuses to put a state of another machine back in place. `running`: the vCPUs that have not ended. */
export function checkMachine(
  { description, memory }: ParsedState,
  options: VmOptions,
  table: CpuidDump,
  running: ReadonlySet<number>,
): void {
  const { vcpus, interrupts, vmgenid } = description;
  const saved = { memory, vcpus: vcpus.length, interrupts, vmgenid: vmgenid !== undefined };
  for (const name of ['memory', 'vcpus', 'interrupts', 'vmgenid'] as const) {
    if (saved[name] === options[name]) continue;
    throw new TypeError(`state: of another machine: ${name} ${saved[name]}; this one has ${options[name]}`);
  }
  checkLeaves(description.table, table);
  for (const id of vcpus.keys()) {
    if (running.has(id) !== description.ended.includes(id)) continue;
    throw new MachineError(
      `state: vCPU ${id} has ended since the machine was saved; resume it as a new machine`,
      { code: 'refused' },
    );
  }
}
