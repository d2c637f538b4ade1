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

/**
 * A signature as a person writes it: printable ASCII, `\xHH` for any byte, the NULs at its end left out. Twelve characters; throws
 * a RangeError for none, for more than twelve, and for a character that is no byte.
 */
export function parseSignature(text: string): string {
  const bytes = text.replace(/\\x([0-9a-f]{2})/gi, (_, digits: string) =>
    String.fromCharCode(Number.parseInt(digits, 16)),
  );
  if (bytes.length === 0 || bytes.length > 12 || /[^\0-\xff]/.test(bytes)) {
    throw new RangeError(`signature: expected 1 to 12 characters of one byte each, got “${text}”`);
  }
  return bytes.padEnd(12, '\0');
}

/** The inverse: a text that `parseSignature` reads as this signature. */
export function formatSignature(signature: string): string {
  return signature
    .replace(/\0+$/, '')
    .replace(/\\(?=x[0-9a-f]{2})/gi, '\\x5c')
    .replace(/[^\x20-\x7e]/g, (character) => `\\x${character.charCodeAt(0).toString(16).padStart(2, '0')}`);
}
