/**
 * ACPI tables for a machine without firmware (ACPI 6.5): processors, interrupts, power off, and a VM generation device
 * (Microsoft, "Virtual Machine Generation ID"). They lie in the range below 1 MiB that the memory map keeps reserved.
 */

import { device, method, name, notify, packageOf, scope, text } from './aml.ts';
import type { Segment } from './index.ts';

/** The machine that the tables describe. */
export interface AcpiMachine {
  /** Processors 0 to `vcpus` - 1, with their number as APIC id. */
  readonly vcpus: number;
  /** Port of the PM1a event block: two bytes of status, two of enable bits. */
  readonly pm1Event: number;
  /** Port of the PM1a control register, two bytes. */
  readonly pm1Control: number;
  /** Port of general-purpose event block 0: one byte of status, one of enable bits. Event 0 is the generation device's. */
  readonly gpe: number;
  /** The interrupt of both event blocks. */
  readonly sci: number;
  /** Port of the reset register, and the byte that resets. */
  readonly reset: number;
  readonly resetValue: number;
}

export interface AcpiTables {
  readonly segments: readonly Segment[];
  /** Guest-physical address of the RSDP, for `LoadOptions`. */
  readonly rsdp: number;
}

/** Where the generation's 16 bytes lie: alone in their page, in reserved memory, as the device's specification asks. */
export const GENERATION_ID = 0xf_f000;

const RSDP = 0xf_0000;
const TABLES = 0xf_0040; // the FACS is first, which lies on 64 bytes
const END = GENERATION_ID;
const LOCAL_APIC = 0xfee0_0000;
const IO_APIC = 0xfec0_0000;
const FADT_LENGTH = 244; // revision 3
const FACS_LENGTH = 64;

/** Throws a RangeError where there are more processors than the tables have room for. */
export function acpiTables(machine: AcpiMachine): AcpiTables {
  let next = TABLES;
  const segments: Segment[] = [];
  const put = (bytes: Uint8Array): number => {
    const address = next;
    segments.push({ address, bytes });
    next = (next + bytes.length + 15) & ~15;
    if (next > END) throw new RangeError(`vcpus: ${machine.vcpus} find no room in the ACPI tables`);
    return address;
  };
  const facs = put(makeFacs());
  const dsdt = put(table('DSDT', 2, makeDsdt()));
  const fadt = put(table('FACP', 3, makeFadt(machine, facs, dsdt)));
  const madt = put(table('APIC', 3, makeMadt(machine)));
  const xsdt = put(table('XSDT', 1, [...u64(fadt), ...u64(madt)]));
  const rsdt = put(table('RSDT', 1, [...u32(fadt), ...u32(madt)]));
  segments.push({ address: RSDP, bytes: makeRsdp(rsdt, xsdt) });
  return { segments, rsdp: RSDP };
}

/** Root System Description Pointer, 5.2.5.3: two checksums, the first over 20 bytes. */
function makeRsdp(rsdt: number, xsdt: number): Uint8Array {
  const bytes = Uint8Array.from([
    ...text('RSD PTR ', 8),
    0,
    ...text(OEM, 6),
    2, // revision
    ...u32(rsdt),
    ...u32(36),
    ...u64(xsdt),
    ...[0, 0, 0, 0],
  ]);
  bytes[8] = complement(bytes.subarray(0, 20));
  bytes[32] = complement(bytes);
  return bytes;
}

/** Firmware ACPI Control Structure, 5.2.10; it has no checksum. */
function makeFacs(): Uint8Array {
  const facs = new Uint8Array(FACS_LENGTH);
  facs.set([...text('FACS', 4), ...u32(FACS_LENGTH)]);
  facs[32] = 1; // version
  return facs;
}

/** The fields of the Fixed ACPI Description Table, 5.2.9, by offset in the table. */
function makeFadt(machine: AcpiMachine, facs: number, dsdt: number): Uint8Array {
  const HEADER = 36;
  const fadt = new Uint8Array(FADT_LENGTH);
  const view = new DataView(fadt.buffer);
  view.setUint32(36, facs, true);
  view.setUint32(40, dsdt, true);
  view.setUint16(46, machine.sci, true);
  // No SMI command: the machine is in ACPI mode from the start.
  view.setUint32(56, machine.pm1Event, true);
  view.setUint32(64, machine.pm1Control, true);
  view.setUint32(80, machine.gpe, true);
  fadt.set([4, 2, 0, 0, 2], 88); // bytes of PM1 event, PM1 control, PM2, timer, GPE 0
  view.setUint16(96, 0xfff, true); // no C2
  view.setUint16(98, 0xfff, true); // no C3
  fadt[108] = 0x32; // the clock's register for the century
  view.setUint16(109, NO_VGA, true); // and no keyboard controller
  view.setUint32(112, WBINVD | PROC_C1 | NO_BUTTONS | RTC_NOT_FIXED | RESET_SUPPORTED, true);
  fadt.set([1, 8, 0, 1, ...u64(machine.reset)], 116); // one byte of I/O space
  fadt[128] = machine.resetValue;
  return fadt.subarray(HEADER);
}

// 5.2.9.3, and 5.2.9.
const NO_VGA = 1 << 2;
const WBINVD = 1 << 0;
const PROC_C1 = 1 << 2;
const NO_BUTTONS = (1 << 4) | (1 << 5);
const RTC_NOT_FIXED = 1 << 6;
const RESET_SUPPORTED = 1 << 10;

/** Multiple APIC Description Table, 5.2.12. Interrupts are at the pins of their number. */
function makeMadt({ vcpus, sci }: AcpiMachine): readonly number[] {
  return [
    ...u32(LOCAL_APIC),
    ...u32(1), // with two 8259s
    ...Array.from({ length: vcpus }, (_, id) => [0, 8, id, id, ...u32(1)]).flat(),
    ...[1, 12, vcpus, 0, ...u32(IO_APIC), ...u32(0)],
    ...[2, 10, 0, sci, ...u32(sci), 0x0d, 0], // level-triggered, active high
    ...[4, 6, 0xff, 0, 0, 1], // NMI at every LINT1
  ];
}

/** The namespace: the generation device, the event that notifies it, and the sleep state that is off. */
function makeDsdt(): readonly number[] {
  return [
    ...scope('\\_SB_', [
      ...device('VGEN', [
        ...name('_HID', 'CMHV0001'),
        ...name('_CID', packageOf(['VMGENCTR', 'VM_Gen_Counter'])),
        ...name('_DDN', 'VM_Gen_Counter'),
        ...name('ADDR', packageOf([GENERATION_ID, 0])),
      ]),
    ]),
    // Edge-triggered: its status is cleared before the method runs, so an event in between is not lost.
    ...scope('\\_GPE', method('_E00', notify('\\_SB_', 'VGEN', 0x80))),
    ...name('\\_S5_', packageOf([0, 0, 0, 0])),
  ];
}

const OEM = 'CMNHV';

/** A table with its header (5.2.6) and checksum. */
function table(signature: string, revision: number, body: ArrayLike<number>): Uint8Array {
  const bytes = new Uint8Array(36 + body.length);
  bytes.set([
    ...text(signature, 4),
    ...u32(bytes.length),
    revision,
    0,
    ...text(OEM, 6),
    ...text('COMMONHV', 8),
    ...u32(1),
    ...text('CMHV', 4),
    ...u32(1),
  ]);
  bytes.set(Uint8Array.from(body), 36);
  bytes[9] = complement(bytes);
  return bytes;
}

/** The byte with which all add up to zero. */
const complement = (bytes: Uint8Array): number => -bytes.reduce((sum, byte) => sum + byte, 0) & 0xff;
const u32 = (value: number): readonly number[] => [0, 8, 16, 24].map((shift) => (value >>> shift) & 0xff);
const u64 = (value: number): readonly number[] => [...u32(value), ...u32(0)];
