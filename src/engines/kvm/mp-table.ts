/** The table by which a guest without ACPI finds its processors and interrupts (Intel MultiProcessor Specification 1.4). */
import type { Segment } from '../../boot/index.ts';

/** The last KiB below 640 KiB, where guests look for it, and which the memory map keeps free. */
const ADDRESS = 0x9_fc00;

const LOCAL_APIC = 0xfee0_0000;
const IO_APIC = 0xfec0_0000;
const APIC_VERSION = 0x14; // the versions of KVM's local and I/O APIC, 14H and 11H
const IO_APIC_VERSION = 0x11;
const FEATURES = 0x0387_fbff; // any: guests ask CPUID
const SIGNATURE = 0x600; // family 6

/** Processors 0 to `vcpus` - 1 with their number as APIC id, one I/O APIC, and the ISA interrupts. */
export function mpTable(vcpus: number): Segment {
  const ioApic = vcpus; // the ids of APICs do not overlap
  const entries = [
    ...Array.from({ length: vcpus }, (_, id) => [
      ...[0, id, APIC_VERSION, id === 0 ? 3 : 1], // enabled; the first one boots
      ...words(SIGNATURE, FEATURES, 0, 0),
    ]),
    [1, 0, ...text('ISA', 6)],
    [2, ioApic, IO_APIC_VERSION, 1, ...words(IO_APIC)],
    // KVM's default routing: interrupt 0, the timer's, is at pin 0 of the I/O APIC, and so on; 2 is the 8259s' cascade.
    ...[0, 1, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15].map((irq) => [3, 0, 0, 0, 0, irq, ioApic, irq]),
    [4, 3, 0, 0, 0, 0, 0xff, 0], // the 8259's interrupts at every local APIC's LINT0
    [4, 1, 0, 0, 0, 0, 0xff, 1], // NMI at LINT1
  ];
  const body = entries.flat();
  const configuration = summed(7, [
    ...text('PCMP', 4),
    ...[(44 + body.length) & 0xff, (44 + body.length) >> 8, 4, 0], // version 1.4
    ...text('COMMONHV', 8),
    ...text('KVM', 12),
    ...words(0),
    ...[0, 0, entries.length, 0],
    ...words(LOCAL_APIC),
    ...[0, 0, 0, 0],
    ...body,
  ]);
  const pointer = summed(10, [...text('_MP_', 4), ...words(ADDRESS + 16), 1, 4, 0, 0, 0, 0, 0, 0]);
  return { address: ADDRESS, bytes: Uint8Array.from([...pointer, ...configuration]) };
}

/** Sets the byte at `at` so that all bytes add up to zero. */
function summed(at: number, bytes: readonly number[]): readonly number[] {
  const sum = bytes.reduce((total, byte) => total + byte, 0);
  return bytes.with(at, -sum & 0xff);
}

const words = (...values: readonly number[]): readonly number[] =>
  values.flatMap((value) => [0, 8, 16, 24].map((shift) => (value >>> shift) & 0xff));
const text = (value: string, length: number): readonly number[] =>
  [...value.padEnd(length)].map((character) => character.charCodeAt(0));
