/**
 * The probe guest: the smallest guest that can be asked anything.
 *
 * A hypervisor shows itself only to a guest that executes CPUID, RDMSR and WRMSR inside of it. The usual test guests carry
 * their tests with them, so that each question means another image, and each hypervisor another port. This one carries
 * nothing: 2,048 bytes that read a line from the first serial port, execute one instruction, and answer with a line
 * (`wire.ts`). Everything is decided at the other end, where `overSerial` makes a `Cpu` of the line again: the guest
 * code, the conformance suite and a person at a terminal ask the same guest, under any hypervisor with a serial port.
 *
 * It needs no firmware, memory manager, timer or interrupt. One file boots as a multiboot, PVH or ELF64 kernel, from a disk or
 * CD by a BIOS or UEFI (`head.S`, `efi.S`, `disk.ts`), and as a bzImage in a form of its own (`setup.S`). It asks at CPL 0 and
 * CPL 3, in 32-bit code and, where it was entered in 64-bit mode, in 64-bit code (`probe.S`). Exceptions are answers.
 *
 * The two ends do not trust each other. Input from the line is bounded in length and time (`lines.ts`), and anything but
 * an answer is skipped, in any amount: firmware, boot loaders and consoles talk on the same line.
 * @module
 */
export type { Form } from './forms.ts';
export { DISK_BYTES, FORMS, probeDisk, probeForm, probeImage } from './forms.ts';
export type { ModeCpu, SerialCpu, SerialOptions, Waiting } from './serial.ts';
export { overSerial } from './serial.ts';
export type { Mode } from './wire.ts';
export { GREETING, modeText } from './wire.ts';
