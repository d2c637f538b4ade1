// Small static programs for Linux on x86-64, of machine code alone: no compiler is needed where they are made.

const BASE = 0x400000;
const HEADERS = 64 + 56;
/** The address of the code's first byte. */
export const CODE = BASE + HEADERS;

/** An ELF file with one segment, readable and executable, that holds the headers and the code; `entry` is an offset in the code. */
export function elfProgram(code, entry = 0) {
  const elf = Buffer.alloc(HEADERS);
  elf.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]); // 64 bits, little endian
  elf.writeUInt16LE(2, 16); // ET_EXEC
  elf.writeUInt16LE(62, 18); // EM_X86_64
  elf.writeUInt32LE(1, 20);
  elf.writeBigUInt64LE(BigInt(CODE + entry), 24);
  elf.writeBigUInt64LE(64n, 32); // the program header follows
  elf.writeUInt16LE(64, 52);
  elf.writeUInt16LE(56, 54);
  elf.writeUInt16LE(1, 56);
  elf.writeUInt32LE(1, 64); // PT_LOAD
  elf.writeUInt32LE(5, 68); // readable, executable
  elf.writeBigUInt64LE(BigInt(BASE), 80);
  elf.writeBigUInt64LE(BigInt(BASE), 88);
  elf.writeBigUInt64LE(BigInt(HEADERS + code.length), 96);
  elf.writeBigUInt64LE(BigInt(HEADERS + code.length), 104);
  elf.writeBigUInt64LE(0x1000n, 112);
  return Buffer.concat([elf, code]);
}
