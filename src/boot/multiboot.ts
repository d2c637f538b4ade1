/** Multiboot 1 kernels (Multiboot Specification 0.6.96): header, a.out addresses or ELF, and the information block. */
import type { Image } from '../cpu.ts';
import { elfSegments, isElf } from './elf.ts';
import type { Loaded } from './index.ts';
import { cString, type Memory, putGdt } from './memory.ts';
import { type Reader, reader } from './reader.ts';

const HEADER_MAGIC = 0x1bad_b002;
const LOADER_MAGIC = 0x2bad_b002; // in EAX at the entry
const HEADER_WITHIN = 8192; // "must be contained completely within the first 8192 bytes"

// Header flags.
const WANTS_VIDEO = 1 << 2;
const MUST_UNDERSTAND = 0xffff;
const UNDERSTOOD = (1 << 0) | (1 << 1); // page-aligned modules; memory information
const ADDRESSES = 1 << 16;

// Information flags.
const INFO_MEMORY = 1 << 0;
const INFO_COMMAND_LINE = 1 << 2;
const INFO_MODULES = 1 << 3;
const INFO_MAP = 1 << 6;
const INFO_LOADER = 1 << 9;
const INFO_SIZE = 120;

/** Offset of the header, 4-aligned and with a right checksum; `undefined` for any other file. */
export function findHeader(kernel: Uint8Array): number | undefined {
  const { u32, length } = reader(kernel);
  for (let at = 0; at + 12 <= Math.min(length, HEADER_WITHIN); at += 4) {
    if (u32(at) === HEADER_MAGIC && (HEADER_MAGIC + u32(at + 4) + u32(at + 8)) % 2 ** 32 === 0) return at;
  }
  return undefined;
}

export function loadMultiboot(image: Image, header: number, memory: Memory): Loaded {
  const read = reader(image.kernel);
  const flags = read.u32(header + 4);
  if ((flags & WANTS_VIDEO) !== 0) throw new TypeError('kernel: its multiboot header asks for a video mode');
  if ((flags & MUST_UNDERSTAND & ~UNDERSTOOD) !== 0) {
    throw new TypeError('kernel: its multiboot header asks for what version 1 does not define');
  }
  const entry = (flags & ADDRESSES) !== 0 ? loadAddresses(read, header, memory) : loadElf(read, memory);
  if (!memory.taken(entry)) throw new TypeError('kernel: its entry point is outside of what it loads');
  const gdt = putGdt(memory);
  const ebx = putInformation(image, memory);
  return {
    kind: 'multiboot',
    segments: memory.segments,
    entry,
    registers: { eax: LOADER_MAGIC, ebx, esi: 0 },
    gdt,
  };
}

/** "If bit 16 is set, the fields at offsets 12-28 are valid": the header gives the load addresses. */
function loadAddresses(read: Reader, header: number, memory: Memory): number {
  const [headerAddress, start, end, bssEnd, entry] = [12, 16, 20, 24, 28].map((at) =>
    read.u32(header + at),
  ) as [number, number, number, number, number];
  const offset = header - (headerAddress - start);
  if (headerAddress < start || offset < 0) {
    throw new TypeError('kernel: its multiboot header contradicts itself: it lies before what it loads');
  }
  const size = end === 0 ? read.length - offset : end - start;
  if (size < 0)
    throw new TypeError('kernel: its multiboot header contradicts itself: it ends before it starts');
  const bytes = read.slice(offset, size);
  if (bssEnd !== 0 && bssEnd < start + size) {
    throw new TypeError('kernel: its multiboot header contradicts itself: the bss ends before the data');
  }
  memory.put('kernel', start, bssEnd === 0 ? size : bssEnd - start, bytes);
  return entry;
}

function loadElf(read: Reader, memory: Memory): number {
  if (!isElf(read))
    throw new TypeError('kernel: a multiboot kernel without load addresses must be an ELF file');
  const { entry, loads } = elfSegments(read);
  for (const { physical, bytes, size } of loads) memory.put('kernel', physical, size, bytes);
  // The entry of an ELF file is a virtual address: kernels that are linked high expect it to be translated.
  const home = loads.find(({ address, size }) => entry >= address && entry < address + size);
  return home === undefined ? entry : entry - home.address + home.physical;
}

function putInformation({ initrd, commandLine = '' }: Image, memory: Memory): number {
  const info = new DataView(new ArrayBuffer(INFO_SIZE));
  const set = (offset: number, value: number) => info.setUint32(offset, value, true);
  let flags = INFO_MEMORY | INFO_COMMAND_LINE | INFO_MAP | INFO_LOADER;
  set(4, 639); // KiB from 0
  set(8, (memory.size - 0x10_0000) / 1024); // KiB from 1 MiB
  const text = cString(commandLine);
  set(16, memory.low('command line', text));
  if (initrd !== undefined && initrd.length > 0) {
    flags |= INFO_MODULES;
    const start = memory.high('initrd', initrd, memory.size);
    const module = new Uint32Array([
      start,
      start + initrd.length,
      memory.low('module name', cString('initrd')),
      0,
    ]);
    set(20, 1);
    set(24, memory.low('module list', littleEndian(module)));
  }
  const entries = memory.map.flatMap(({ address, size, type }) => [20, address, 0, size, 0, type]);
  set(44, entries.length * 4);
  set(48, memory.low('memory map', littleEndian(entries)));
  set(64, memory.low('loader name', cString('commonhv')));
  set(0, flags);
  return memory.low('multiboot information', new Uint8Array(info.buffer));
}

function littleEndian(words: Iterable<number>): Uint8Array {
  const list = [...words];
  const view = new DataView(new ArrayBuffer(list.length * 4));
  list.forEach((word, i) => {
    view.setUint32(i * 4, word, true);
  });
  return new Uint8Array(view.buffer);
}
