/**
 * The probe guest: the smallest guest that can be asked anything.
 *
 * A hypervisor shows itself only to a guest that executes CPUID, RDMSR and WRMSR inside of it. The usual test guests carry
 * their tests with them, so that each question means another image, and each hypervisor another port. This one carries
 * nothing: 512 bytes that read a line from the first serial port, execute one instruction, and answer with a line
 * (`wire.ts`). Everything is decided at the other end, where `overSerial` makes a `Cpu` of the line again: the guest
 * code, the conformance suite and a person at a terminal ask the same guest, under any hypervisor with a serial port.
 *
 * It needs no firmware, memory manager, timer or interrupt. It boots from a disk's first sector or as a multiboot kernel
 * (`probe.S`). Exceptions are answers: #GP and #UD are caught by its own interrupt table, anything else is a
 * triple fault, which a hypervisor reports by itself.
 *
 * The two ends do not trust each other. Input from the line is bounded in length, number and time (`lines.ts`),
 * and anything but an answer is skipped: firmware, boot loaders and consoles talk on the same line.
 * @module
 */
import { PROBE_BASE64 } from './image.ts';

export { DISK_BYTES, probeDisk } from './forms.ts';
export type { SerialCpu, SerialOptions } from './serial.ts';
export { overSerial } from './serial.ts';
export { GREETING } from './wire.ts';

/** The probe's image, 512 bytes: a multiboot kernel and a boot sector in one. A fresh copy each time. */
export function probeImage(): Uint8Array {
  return Uint8Array.from(atob(PROBE_BASE64), (character) => character.charCodeAt(0));
}
