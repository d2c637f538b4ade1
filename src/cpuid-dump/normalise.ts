/** Takes off the clothes in which text arrives: mail encodings, HTML, terminal escapes, odd blanks, line ends. */

const MAX_TAG = 500;

// biome-ignore lint/suspicious/noControlCharactersInRegex: a terminal's escape sequences
const ESCAPES = /\x1b(?:\[[\d;?]{0,16}[A-Za-z]|\][^\x07\n]{0,200}\x07)/g;

/** Text with plain blanks and `\n` only. Lines keep their number, except where HTML or a mail's encoding had none. */
export function normalise(text: string): string {
  let plain = text;
  if (plain.includes('\x1b')) plain = plain.replace(ESCAPES, '');
  if (plain.includes('\r')) plain = plain.replace(/\r\n?/g, '\n');
  if (plain.includes('=3D') || plain.includes('=\n')) plain = quotedPrintable(plain);
  plain = plain.replace(/[\u200b-\u200f\u2060\ufeff\0]/g, '');
  if (/[^\n -~]/.test(plain)) {
    plain = plain
      .replace(/[\u00a0\u2000-\u200a\u202f\u205f\u3000\ufffd\t\v\f]/g, ' ')
      .replace(/[\u2010-\u2015\u2212]/g, '-')
      .replace(/[\u2018\u2019\u201c\u201d]/g, '"')
      .replace(/\u2502/g, '|');
  }
  if (/<[a-z!/]|&(?:[a-z]{2,6}|#x?[\da-f]{1,6});/i.test(plain)) plain = html(plain);
  // A dump inside of a string literal: its line ends are two characters.
  if (plain.includes('\\n')) plain = plain.replace(/(?:\\r)?\\n(?=\s{0,8}(?:0x|CPU|"|$))/g, '\n');
  return plain;
}

/** RFC 2045: soft line breaks, and the characters that a dump can have encoded. */
function quotedPrintable(text: string): string {
  return text
    .replace(/=[ \t]{0,8}\n/g, '')
    .replace(/=(?:C2=A0|A0|09)/gi, ' ')
    .replace(/=20(?=\n|$)/g, ' ')
    .replace(/=(3D|3E|3C|22|27|2D|5B|5D|7C)/gi, (_, digits: string) =>
      String.fromCharCode(Number.parseInt(digits, 16)),
    );
}

const ENTITIES: Readonly<Record<string, string>> = {
  nbsp: ' ',
  gt: '>',
  lt: '<',
  amp: '&',
  quot: '"',
  apos: "'",
};

/** Tags that end a line become one; libvirt's `<cpuid eax_in=…>` is data and stays. */
function html(text: string): string {
  return text
    .replace(/<(?:br|\/?p|\/?div|\/tr|\/li|\/?pre|\/h\d)\b[^<>]{0,200}>/gi, '\n')
    .replace(/<\/t[dh]>/gi, ' ')
    .replace(TAG, '')
    .replace(
      /&(?:([a-z]{2,6})|#(x?)([\da-f]{1,6}));/gi,
      (whole, name: string | undefined, x: string, digits: string) => {
        if (name !== undefined) return ENTITIES[name.toLowerCase()] ?? whole;
        const code = Number.parseInt(digits, x === '' ? 10 : 16);
        if (code === 0xa0) return ' ';
        return code >= 0x20 && code < 0x7f ? String.fromCharCode(code) : ' ';
      },
    );
}
const TAG = new RegExp(`</?(?!cpuid\\b|leaf\\b)[a-z!][^<>]{0,${MAX_TAG}}>`, 'gi');

/** Prefixes of mail, comments and lists before each line: quotes, comment signs, table bars. */
export function withoutQuotes(line: string): string {
  return line.replace(/^(?:[\s>|]|\/{2,3}|[#*](?=\s)){1,40}/, '');
}
