/** ELF files for x86, 32 and 64 bits: segments with their addresses, and the notes (System V ABI, chapters 4 and 5). */
import type { Reader } from './reader.ts';

const PT_LOAD = 1;
const PT_NOTE = 4;
const EM_386 = 3;
const EM_X86_64 = 62;
const ET_EXEC = 2;
/** Real kernels have under ten program headers; the bound keeps a hostile file from costing quadratic time. */
const MAX_HEADERS = 64;

export interface ElfLoad {
  /** Virtual and physical address, both below 4 GiB for an image that is entered in 32-bit mode. */
  readonly address: number;
  readonly physical: number;
  /** Bytes in memory: the file's, then zeros. */
  readonly size: number;
  readonly bytes: Uint8Array;
}

export interface ElfNote {
  readonly name: string;
  readonly type: number;
  readonly data: Uint8Array;
}

export interface Elf {
  readonly entry: number;
  readonly loads: readonly ElfLoad[];
  readonly notes: readonly ElfNote[];
}

export function isElf(read: Reader): boolean {
  return read.length >= 52 && read.u32(0) === 0x464c_457f;
}

/** Reads the program headers; a TypeError where the file is not an x86 executable or refers to data that it does not have. */
export function elfSegments(read: Reader): Elf {
  const wide = read.u8(4) === 2;
  const { u16, u32 } = read;
  const word = wide ? read.u64 : read.u32;
  if (read.u8(5) !== 1 || (u16(18) !== EM_386 && u16(18) !== EM_X86_64)) {
    throw new TypeError('kernel: an ELF file, but not for x86');
  }
  if (u16(16) !== ET_EXEC) throw new TypeError('kernel: an ELF file, but not an executable');
  const table = word(wide ? 32 : 28);
  const [step, count] = [u16(wide ? 54 : 42), u16(wide ? 56 : 44)];
  if (count > MAX_HEADERS || (count > 0 && step < (wide ? 56 : 32))) {
    throw new TypeError(`kernel: an ELF file with ${count} program headers of ${step} bytes`);
  }
  const loads: ElfLoad[] = [];
  const notes: ElfNote[] = [];
  for (let i = 0; i < count; i++) {
    const at = table + i * step;
    const type = u32(at);
    if (type !== PT_LOAD && type !== PT_NOTE) continue;
    const [offset, address, physical, fileSize, size] = (wide ? [8, 16, 24, 32, 40] : [4, 8, 12, 16, 20]).map(
      (field) => word(at + field),
    ) as [number, number, number, number, number];
    const bytes = read.slice(offset, fileSize);
    if (type === PT_NOTE) notes.push(...readNotes(bytes));
    else if (size < fileSize)
      throw new TypeError('kernel: an ELF segment that is larger in the file than in memory');
    else if (size > 0) loads.push({ address, physical, size, bytes });
  }
  return { entry: word(24), loads, notes };
}

/** Notes: name size, data size, type, then both padded to 4. Stops at the first one that does not fit. */
function readNotes(bytes: Uint8Array): ElfNote[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const notes: ElfNote[] = [];
  for (let at = 0; at + 12 <= bytes.length; ) {
    const [nameSize, dataSize, type] = [0, 4, 8].map((field) => view.getUint32(at + field, true)) as [
      number,
      number,
      number,
    ];
    const name = at + 12;
    const data = name + pad(nameSize);
    if (data + dataSize > bytes.length) break;
    const text = String.fromCharCode(...bytes.subarray(name, name + Math.min(nameSize, 16))).replace(
      /\0.*$/s,
      '',
    );
    notes.push({ name: text, type, data: bytes.subarray(data, data + dataSize) });
    at = data + pad(dataSize);
  }
  return notes;
}

const pad = (size: number) => Math.ceil(size / 4) * 4;
