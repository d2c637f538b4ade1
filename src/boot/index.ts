/** Images into guest memory, without firmware: multiboot, Linux bzImage (32-bit boot protocol), ELF with a PVH note. @module */
import type { Image } from '../cpu.ts';
import { isLinux, loadLinux } from './linux.ts';
import { layOut } from './memory.ts';
import { findHeader, loadMultiboot } from './multiboot.ts';
import { loadPvh, pvhEntry } from './pvh.ts';

export { type AcpiMachine, type AcpiTables, acpiTables, GENERATION_ID } from './acpi.ts';
export { isLinux, isLongMode } from './linux.ts';

/** Bytes for guest-physical memory. They may be a view of the image that was given: read, never written. */
export interface Segment {
  /** Guest-physical. */
  readonly address: number;
  readonly bytes: Uint8Array;
}

/**
 * The engine's part: copy the segments into zeroed memory, and enter at `entry` in 32-bit protected mode with
 * paging and interrupts off, A20 open, flat segments from `gdt`, `registers` as given and every other register zero.
 */
export interface Loaded {
  /** `linux`: a bzImage by the 32-bit boot protocol; `pvh`: an ELF file with a PVH note, as vmlinux is. */
  readonly kind: 'multiboot' | 'linux' | 'pvh';
  /** No two overlap; those of the image, and those of the boot protocol. */
  readonly segments: readonly Segment[];
  /** Guest-physical address of the first instruction. */
  readonly entry: number;
  /** `multiboot`: EAX 2BADB002H, EBX its information; `linux`: ESI the zero page; `pvh`: EBX hvm_start_info. */
  readonly registers: { readonly eax: number; readonly ebx: number; readonly esi: number };
  /** A table that is among the segments: flat 4 GiB code and data at these selectors, `limit` as LGDT takes it. */
  readonly gdt: {
    /** Guest-physical. */
    readonly address: number;
    /** In bytes, less one. */
    readonly limit: number;
    readonly code: number;
    readonly data: number;
  };
}

/** Tables that the engine puts into the machine and reports to the kernel; multiboot has no place for them. */
export interface LoadOptions {
  /** Physical address of the ACPI RSDP, where the engine has put one; none by default. */
  readonly rsdp?: number | undefined;
}

/** The least memory that `load` lays out, in bytes: 1 MiB. */
export const MIN_MEMORY = 0x10_0000;
/** The most, in bytes: 3 GiB, below the device addresses that end at 4 GiB. */
export const MAX_MEMORY = 0xc000_0000;

/**
 * Lays an image out for a machine with `memorySize` bytes of RAM from address 0 (with the usual hole from 640 KiB to
 * 1 MiB). Throws, before any machine is made: a TypeError for an image that is not one or contradicts itself, a
 * RangeError where the image does not fit the memory. Never reads beyond the image.
 */
export function load(image: Image, memorySize: number, options: LoadOptions = {}): Loaded {
  const { kernel } = image;
  if (!(kernel instanceof Uint8Array)) throw new TypeError('kernel: expected a Uint8Array');
  if (!Number.isInteger(memorySize) || memorySize < MIN_MEMORY || memorySize > MAX_MEMORY) {
    throw new RangeError(`memory: expected 1 MiB to 3 GiB in bytes, got ${memorySize}`);
  }
  checkCommandLine(image.commandLine ?? '');
  const memory = layOut(memorySize);
  if (isLinux(kernel)) return loadLinux(image, memory, options);
  const header = findHeader(kernel);
  if (header !== undefined) return loadMultiboot(image, header, memory);
  const entry = pvhEntry(kernel);
  if (entry !== undefined) return loadPvh(image, entry, memory, options);
  throw new TypeError(
    `kernel: expected a multiboot image, a Linux bzImage or an ELF file with a PVH note, got ${looksLike(kernel)}`,
  );
}

function checkCommandLine(text: string): void {
  if (typeof text !== 'string' || !/^[\t\x20-\x7e]*$/.test(text)) {
    throw new TypeError('command line: expected printable ASCII without line ends');
  }
}

/** The probable kind of a wrong file, for the message. */
function looksLike(bytes: Uint8Array): string {
  const starts = (...head: readonly number[]) => head.every((byte, i) => bytes[i] === byte);
  if (bytes.length === 0) return 'an empty file';
  if (starts(0x7f, 0x45, 0x4c, 0x46)) return 'an ELF file with neither';
  if (starts(0x1f, 0x8b)) return 'a gzip file';
  if (starts(0xfd, 0x37, 0x7a, 0x58)) return 'an xz file';
  if (starts(0x28, 0xb5, 0x2f, 0xfd)) return 'a zstd file';
  if (bytes[510] === 0x55 && bytes[511] === 0xaa)
    return 'a boot sector or disk (there is no firmware to start it)';
  return `${bytes.length} bytes of something else`;
}
