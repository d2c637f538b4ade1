/** A signature as a person writes it: printable Latin characters, `\xHH` for the rest, trailing NULs left out. */

const BYTE = /\\x([0-9a-f]{2})/gi;

/** Twelve characters, padded with NULs; throws a RangeError with a line for people. */
export function parseSignature(text: string): string {
  const bytes = text.replace(BYTE, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 16)));
  if (bytes.length === 0 || bytes.length > 12 || /[^\0-\xff]/.test(bytes)) {
    throw new RangeError(`signature: expected 1 to 12 characters of one byte each, got “${text}”`);
  }
  return bytes.padEnd(12, '\0');
}

export function formatSignature(signature: string): string {
  return signature
    .replace(/\0+$/, '')
    .replace(/\\(?=x[0-9a-f]{2})/gi, '\\x5c')
    .replace(/[^\x20-\x7e]/g, (character) => `\\x${character.charCodeAt(0).toString(16).padStart(2, '0')}`);
}
