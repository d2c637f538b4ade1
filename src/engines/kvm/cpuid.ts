/** CPUID under KVM is a table, given to the kernel once: read from it, computed from a layer, and encoded. */
import type { SyncCpu } from '../../cpu.ts';
import { MachineError } from '../../cpu.ts';
import type { CpuidDump, Row } from '../../cpuid-dump.ts';
import { dumpSync } from '../../cpuid-dump.ts';
import type { Ffi } from '../ffi.ts';
import { check, errorName } from '../ffi.ts';
import { ioctl, layout, value } from './abi.ts';
import type { System } from './system.ts';

const table = layout.kvm_cpuid2;
const entry = layout.kvm_cpuid_entry2;
const MAX_ENTRIES = 256; // KVM_MAX_CPUID_ENTRIES of the kernel

/** Locations of the first and, where there are two, the second interface. */
const FIRST = 0x4000_0000;
const SECOND = 0x4000_0100;

/** The host CPU's leaves: the kernel's table, with Hyper-V's leaves before KVM's own where `hyperv` asks for them. */
export function supported(system: System, hyperv: boolean): CpuidDump {
  const { sys } = system;
  const rows = query(sys, system.fd, ioctl.GET_SUPPORTED_CPUID, 'KVM_GET_SUPPORTED_CPUID');
  if (!hyperv) return rows;
  if (system.has('SYS_HYPERV_CPUID') <= 0) {
    throw new MachineError('this KVM offers no Hyper-V leaves (KVM_CAP_SYS_HYPERV_CPUID): go without hyperv');
  }
  return withHyperV(rows, query(sys, system.fd, ioctl.GET_SUPPORTED_HV_CPUID, 'KVM_GET_SUPPORTED_HV_CPUID'));
}

/** Hyper-V at 40000000H, and KVM's own leaves, which both tables may hold there, at 40000100H. */
export function withHyperV(own: CpuidDump, hyperv: CpuidDump): CpuidDump {
  const shift = SECOND - FIRST;
  const moved = own.map((row): Row => {
    if (row.leaf < FIRST || row.leaf >= SECOND) return row;
    const leaf = row.leaf + shift;
    // The first leaf's EAX is the interface's last leaf; old kernels say 0 and mean the leaf after the first.
    return row.leaf === FIRST
      ? { ...row, leaf, eax: Math.max(row.eax, FIRST + 1) + shift }
      : { ...row, leaf };
  });
  return [...moved, ...hyperv].sort((a, b) => a.leaf - b.leaf || a.subleaf - b.subleaf);
}

/** The table that makes the kernel answer as `cpu` does. */
export function tableOf(cpu: SyncCpu): CpuidDump {
  return dumpSync(cpu);
}

/** Installs a vCPU's table, with its own number in the leaves that tell processors apart. */
export function install(sys: Ffi, vcpu: number, rows: CpuidDump, id: number): void {
  const bytes = encodeTable(rows.map((row) => numbered(row, id)));
  const result = sys.ioctlAt(vcpu, ioctl.SET_CPUID2, bytes);
  if (result === 0) return;
  const why = result === -7 ? `${rows.length} leaves are more than this kernel takes` : errorName(-result);
  throw new MachineError(`KVM_SET_CPUID2: ${why}`);
}

/** The APIC id: leaf 1 EBX[31:24]; leaves BH and 1FH EDX (SDM volume 2); leaf 8000001EH EAX (AMD manual volume 3). */
function numbered(row: Row, id: number): Row {
  if (row.leaf === 0x01) return { ...row, ebx: ((row.ebx & 0x00ff_ffff) | (id << 24)) >>> 0 };
  if (row.leaf === 0x0b || row.leaf === 0x1f) return { ...row, edx: id };
  if (row.leaf === 0x8000_001e) return { ...row, eax: id };
  return row;
}

function query(sys: Ffi, fd: number, request: number, name: string): CpuidDump {
  const bytes = new Uint8Array(table.size + MAX_ENTRIES * entry.size);
  new DataView(bytes.buffer).setUint32(table.nent, MAX_ENTRIES, true);
  check(sys.ioctlAt(fd, request, bytes), name);
  // The kernel gives the numbers of the processor that it runs on at the moment.
  return decodeTable(bytes).map((row) => numbered(row, 0));
}

/** struct kvm_cpuid2 and its entries. */
export function encodeTable(rows: CpuidDump): Uint8Array {
  const view = new DataView(new ArrayBuffer(table.size + rows.length * entry.size));
  view.setUint32(table.nent, rows.length, true);
  rows.forEach((row, i) => {
    const at = table.size + i * entry.size;
    const put = (field: number, number: number): void => view.setUint32(at + field, number, true);
    put(entry.function, row.leaf);
    put(entry.index, row.subleaf);
    put(entry.flags, row.indexed ? value.KVM_CPUID_FLAG_SIGNIFCANT_INDEX : 0);
    for (const name of ['eax', 'ebx', 'ecx', 'edx'] as const) put(entry[name], row[name]);
  });
  return new Uint8Array(view.buffer);
}

export function decodeTable(bytes: Uint8Array): CpuidDump {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return Array.from({ length: view.getUint32(table.nent, true) }, (_, i): Row => {
    const get = (field: number): number => view.getUint32(table.size + i * entry.size + field, true);
    return {
      leaf: get(entry.function),
      subleaf: get(entry.index),
      indexed: (get(entry.flags) & value.KVM_CPUID_FLAG_SIGNIFCANT_INDEX) !== 0,
      eax: get(entry.eax),
      ebx: get(entry.ebx),
      ecx: get(entry.ecx),
      edx: get(entry.edx),
    };
  });
}
