/** CPUID dumps as other tools print them. */
import { hex } from '../cpu.ts';
import { formatJson } from './json.ts';
import type { Recorded } from './text.ts';
import type { CpuidDump, Row } from './walk.ts';

/** `cpuid`: Todd Allen's `cpuid -r`; `aida64`: AIDA64's and InstLatx64's; `kcpuid`: the kernel's tools/arch/x86/kcpuid -r. */
export const DUMP_FORMATS = ['cpuid', 'json', 'aida64', 'kcpuid'] as const;
export type DumpFormat = (typeof DUMP_FORMATS)[number];

/** Writes dumps, one for each processor, numbered from 0 or as their headings had them. Rows of decoded dumps are left out. */
export function formatDump(cpus: readonly (CpuidDump | Recorded)[], as: DumpFormat = 'cpuid'): string {
  const recorded = cpus.map((cpu): Recorded => ('dump' in cpu ? cpu : { dump: cpu }));
  if (as === 'json') return formatJson(recorded);
  const write = { cpuid, aida64, kcpuid }[as];
  return recorded
    .map(({ dump, number }, i) =>
      write(
        dump.filter(({ partial }) => !partial),
        number ?? i,
      ),
    )
    .join('');
}

function cpuid(rows: CpuidDump, number: number): string {
  const line = ({ leaf, subleaf, eax, ebx, ecx, edx }: Row): string =>
    `   ${hex(leaf)} ${hex(subleaf, 2)}: eax=${hex(eax)} ebx=${hex(ebx)} ecx=${hex(ecx)} edx=${hex(edx)}\n`;
  return `CPU ${number}:\n${rows.map(line).join('')}`;
}

function aida64(rows: CpuidDump, number: number): string {
  const digits = (value: number, width = 8): string => value.toString(16).toUpperCase().padStart(width, '0');
  const line = ({ leaf, subleaf, indexed, eax, ebx, ecx, edx }: Row): string => {
    const registers = [eax, ebx, ecx, edx].map((value) => digits(value)).join('-');
    return `CPUID ${digits(leaf)}: ${registers}${indexed ? ` [SL ${digits(subleaf, 2)}]` : ''}\n`;
  };
  return `------[ CPUID Registers / Logical CPU #${number} ]------\n\n${rows.map(line).join('')}\n`;
}

const RANGES = [
  ['Basic', 0],
  ['Hypervisor', 0x4000_0000],
  ['Extended', 0x8000_0000],
] as const;

function kcpuid(rows: CpuidDump, number: number): string {
  const registers = ({ eax, ebx, ecx, edx }: Row): string =>
    `EAX=${hex(eax)}, EBX=${hex(ebx)}, ECX=${hex(ecx)}, EDX=${hex(edx)}\n`;
  const parts = RANGES.map(([name, first], i) => {
    const end = RANGES[i + 1]?.[1] ?? 2 ** 32;
    const inside = rows.filter(({ leaf }) => leaf >= first && leaf < end);
    let leaf = -1;
    const lines = inside.map((row) => {
      if (!row.indexed) return `${hex(row.leaf)}: ${registers(row)}`;
      const heading = row.leaf === leaf ? '' : `${hex(row.leaf)}: subleafs:\n`;
      leaf = row.leaf;
      return `${heading} ${String(row.subleaf).padStart(2)}: ${registers(row)}`;
    });
    return inside.length === 0 ? '' : `${name} Leafs :\n================\n${lines.join('')}\n`;
  });
  return `CPU ${number}:\n${parts.join('')}`;
}
