/** ELF kernels with a PVH entry, vmlinux among them (xen/include/public/arch-x86/hvm/start_info.h, elfnote.h). */
import type { Image } from '../cpu.ts';
import { elfSegments, isElf } from './elf.ts';
import type { Loaded, LoadOptions } from './index.ts';
import { cString, type Memory, putGdt } from './memory.ts';
import { reader } from './reader.ts';

const PHYS32_ENTRY = 18; // XEN_ELFNOTE_PHYS32_ENTRY: "Physical entry point into the kernel", 32-bit
const START_MAGIC = 0x336e_c578; // "xEn3" with the high bit of the E set
const START_SIZE = 56;
const MODULE_SIZE = 32;
const RANGE_SIZE = 24;

/** The physical entry from the note; `undefined` for any other file. */
export function pvhEntry(kernel: Uint8Array): number | undefined {
  const read = reader(kernel);
  if (!isElf(read)) return undefined;
  const note = elfSegments(read).notes.find(({ name, type }) => name === 'Xen' && type === PHYS32_ENTRY);
  if (note === undefined) return undefined;
  // A 64-bit kernel writes the address as 8 bytes, whose upper half must be zero.
  const data = reader(note.data, 'kernel: PVH note');
  return data.length >= 8 ? data.u64(0) : data.u32(0);
}

export function loadPvh(image: Image, entry: number, memory: Memory, { rsdp = 0 }: LoadOptions): Loaded {
  for (const { physical, bytes, size } of elfSegments(reader(image.kernel)).loads) {
    memory.put('kernel', physical, size, bytes);
  }
  if (!memory.taken(entry)) throw new TypeError('kernel: its PVH entry is outside of what it loads');
  const gdt = putGdt(memory);
  const { initrd, commandLine = '' } = image;

  const start = new DataView(new ArrayBuffer(START_SIZE));
  const low = (what: string, view: DataView) => memory.low(what, new Uint8Array(view.buffer));
  start.setUint32(0, START_MAGIC, true);
  start.setUint32(4, 1, true); // version 1: with the memory map
  if (initrd !== undefined && initrd.length > 0) {
    const module = new DataView(new ArrayBuffer(MODULE_SIZE));
    module.setUint32(0, memory.high('initrd', initrd, memory.size), true);
    module.setUint32(8, initrd.length, true);
    start.setUint32(12, 1, true);
    start.setUint32(16, low('module list', module), true);
  }
  start.setUint32(24, memory.low('command line', cString(commandLine)), true);
  start.setUint32(32, rsdp, true);
  const map = new DataView(new ArrayBuffer(memory.map.length * RANGE_SIZE));
  memory.map.forEach(({ address, size, type }, i) => {
    map.setUint32(i * RANGE_SIZE, address, true);
    map.setUint32(i * RANGE_SIZE + 8, size, true);
    map.setUint32(i * RANGE_SIZE + 16, type, true);
  });
  start.setUint32(40, low('memory map', map), true);
  start.setUint32(48, memory.map.length, true);
  const ebx = low('start information', start);
  return { kind: 'pvh', segments: memory.segments, entry, registers: { eax: 0, ebx, esi: 0 }, gdt };
}
