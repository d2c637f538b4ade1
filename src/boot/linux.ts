/** Linux bzImage by the 32-bit boot protocol (Documentation/arch/x86/boot.rst, zero-page.rst). */
import { hex, type Image } from '../cpu.ts';
import type { Loaded, LoadOptions } from './index.ts';
import { cString, type Memory, putGdt } from './memory.ts';
import { type Reader, reader } from './reader.ts';

const HEADER = 0x1f1; // the setup header, at the same offset in the file and in the zero page
const MAGIC = 0x5372_6448; // "HdrS"
const SECTOR = 512;
const LOAD_ADDRESS = 0x10_0000;
const LOADED_HIGH = 1 << 0;
const UNKNOWN_LOADER = 0xff; // type_of_loader: "undefined", for whoever has no number assigned
const ZERO_PAGE = 4096;
const HEADER_END = 0x290; // the rest of the zero page does not belong to the header

/** Whether a file is a Linux bzImage or zImage, by its magic. */
export function isLinux(kernel: Uint8Array): boolean {
  const { length, u32 } = reader(kernel);
  return length >= 0x206 && u32(0x202) === MAGIC;
}

/** Whether a bzImage's kernel runs in 64-bit mode alone (boot protocol 2.12, xloadflags bit 0: XLF_KERNEL_64). */
export function isLongMode(kernel: Uint8Array): boolean {
  const { length, u16 } = reader(kernel);
  return isLinux(kernel) && length >= 0x238 && u16(0x206) >= 0x020c && (u16(0x236) & 1) !== 0;
}

export function loadLinux(image: Image, memory: Memory, { rsdp = 0 }: LoadOptions): Loaded {
  const { kernel, initrd, commandLine = '' } = image;
  const read = reader(kernel);
  const version = read.u16(0x206);
  if (version < 0x0202) throw new TypeError(`kernel: boot protocol ${protocol(version)} is older than 2.2`);
  if ((read.u8(0x211) & LOADED_HIGH) === 0) throw new TypeError('kernel: a zImage; expected a bzImage');
  const most = version >= 0x0206 ? read.u32(0x238) : 255;
  if (commandLine.length > most) {
    throw new RangeError(`command line: ${commandLine.length} characters, this kernel takes at most ${most}`);
  }
  const entry = putKernel(read, version, memory);
  const gdt = putGdt(memory);

  const page = new DataView(new ArrayBuffer(ZERO_PAGE));
  const headerEnd = Math.min(0x202 + read.u8(0x201), HEADER_END);
  new Uint8Array(page.buffer).set(read.slice(HEADER, headerEnd - HEADER), HEADER);
  page.setUint8(0x210, UNKNOWN_LOADER);
  page.setUint32(0x228, memory.low('command line', cString(commandLine)), true);
  if (initrd !== undefined && initrd.length > 0) {
    const highest = version >= 0x0203 ? read.u32(0x22c) : 0x37ff_ffff;
    page.setUint32(0x218, memory.high('initrd', initrd, highest + 1), true);
    page.setUint32(0x21c, initrd.length, true);
  }
  page.setUint32(0x1e0, Math.max(0, (memory.size - LOAD_ADDRESS) / 1024), true); // alt_mem_k, KiB above 1 MiB
  page.setUint32(0x070, rsdp, true); // acpi_rsdp_addr, 64 bits
  page.setUint8(0x1e8, memory.map.length);
  memory.map.forEach(({ address, size, type }, i) => {
    page.setUint32(0x2d0 + i * 20, address, true);
    page.setUint32(0x2d0 + i * 20 + 8, size, true);
    page.setUint32(0x2d0 + i * 20 + 16, type, true);
  });
  const esi = memory.low('zero page', new Uint8Array(page.buffer));
  return { kind: 'linux', segments: memory.segments, entry, registers: { eax: 0, ebx: 0, esi }, gdt };
}

/** The protected-mode part to 1 MiB; the memory into which it decompresses itself stays free. Returns the entry. */
function putKernel(read: Reader, version: number, memory: Memory): number {
  const setup = ((read.u8(HEADER) || 4) + 1) * SECTOR;
  const declared = version >= 0x0204 ? read.u32(0x1f4) * 16 : 0;
  if (setup >= read.length) {
    throw new TypeError(`kernel: truncated: its setup part has ${setup} bytes, the file ${read.length}`);
  }
  const body = read.slice(setup, read.length - setup);
  // The file's last paragraph may be short (syssize is rounded up to 16), and signatures may follow it.
  if (declared > body.length + 15) {
    throw new TypeError(`kernel: truncated: its header declares ${declared} bytes, ${body.length} are there`);
  }
  let end = LOAD_ADDRESS + body.length;
  if (version >= 0x020a) {
    const preferred = read.u64(0x258);
    const size = read.u32(0x260);
    const from = Math.max(preferred, LOAD_ADDRESS);
    if (from + size > memory.size) {
      const least = Math.ceil((from + size) / 2 ** 20);
      throw new RangeError(
        `kernel: needs at least ${least} MiB of memory to start, has ${memory.size / 2 ** 20}`,
      );
    }
    end = Math.max(end, from + size);
  }
  const entry = read.u32(0x214);
  if (entry !== LOAD_ADDRESS) throw new TypeError(`kernel: expected an entry at 0x100000, got ${hex(entry)}`);
  memory.put('kernel', LOAD_ADDRESS, end - LOAD_ADDRESS, body);
  return entry;
}

const protocol = (version: number) => `${version >> 8}.${version & 0xff}`;
