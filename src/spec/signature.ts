/** Signatures: twelve bytes in EBX, ECX and EDX, "in little-endian ASCII" (drafts 1 and 2, "Discovery"). */
import type { Regs } from '../cpu.ts';

/** The registers that spell a signature. Throws a RangeError unless it is twelve characters of one byte each (Latin-1, NULs included). */
export function encodeSignature(signature: string): Pick<Regs, 'ebx' | 'ecx' | 'edx'> {
  if (signature.length !== 12 || /[^\0-\xff]/.test(signature)) {
    throw new RangeError(
      `signature: expected 12 characters of one byte each, got ${JSON.stringify(signature)}`,
    );
  }
  const bytes = new DataView(new ArrayBuffer(12));
  for (let i = 0; i < 12; i++) bytes.setUint8(i, signature.charCodeAt(i));
  return { ebx: bytes.getUint32(0, true), ecx: bytes.getUint32(4, true), edx: bytes.getUint32(8, true) };
}

/** Twelve Latin-1 characters, NULs included: EBX first, of each register the lowest byte first. */
export function decodeSignature({ ebx, ecx, edx }: Pick<Regs, 'ebx' | 'ecx' | 'edx'>): string {
  const bytes = new DataView(new ArrayBuffer(12));
  bytes.setUint32(0, ebx, true);
  bytes.setUint32(4, ecx, true);
  bytes.setUint32(8, edx, true);
  return String.fromCharCode(...new Uint8Array(bytes.buffer));
}
