/** Bytes of a dump as text: UTF-8 and UTF-16, with a byte order mark or without, and Latin-1. */

const HEAD_BYTES = 4096;

/** Never throws: bytes of no encoding become U+FFFD. PowerShell's redirect writes UTF-16LE with a byte order mark. */
export function decodeText(bytes: Uint8Array): string {
  const [a, b, c] = bytes;
  if (a === 0xff && b === 0xfe) return new TextDecoder('utf-16le').decode(bytes);
  if (a === 0xfe && b === 0xff) return utf16be(bytes);
  if (a === 0xef && b === 0xbb && c === 0xbf) return new TextDecoder().decode(bytes.subarray(3));
  // ASCII text in UTF-16 has a NUL in every other byte; where it follows UTF-8 (a redirect that appends), the NULs are dropped.
  if (!bytes.subarray(0, 4).includes(0)) return new TextDecoder().decode(bytes).replaceAll('\0', '');
  const head = bytes.subarray(0, HEAD_BYTES);
  const nuls = [0, 0];
  for (let i = 0; i < head.length; i++) if (head[i] === 0) nuls[i & 1]!++;
  if (nuls[1]! > head.length / 4) return new TextDecoder('utf-16le').decode(bytes);
  if (nuls[0]! > head.length / 4) return utf16be(bytes);
  return new TextDecoder().decode(bytes);
}

/** Not every build of Node decodes UTF-16BE, so the bytes are swapped. */
function utf16be(bytes: Uint8Array): string {
  const swapped = new Uint8Array(bytes.length & ~1);
  for (let i = 0; i < swapped.length; i += 2) {
    swapped[i] = bytes[i + 1]!;
    swapped[i + 1] = bytes[i]!;
  }
  return new TextDecoder('utf-16le').decode(swapped);
}

/** The same for text that was read as Latin-1 although it is UTF-16, or has a byte order mark. */
export function redecode(text: string): string {
  if (!/^(?:\xff\xfe|\xfe\xff|\xef\xbb\xbf)|\0/.test(text.slice(0, HEAD_BYTES))) return text;
  if (/[^\0-\xff]/.test(text)) return text;
  return decodeText(Uint8Array.from(text, (character) => character.charCodeAt(0)));
}
