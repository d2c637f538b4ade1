/** Takes off the clothes in which text arrives: mail encodings, HTML, terminal escapes, odd blanks, line ends. */
import { decodeText } from './encoding.ts';

const MAX_TAG = 500;

// biome-ignore lint/suspicious/noControlCharactersInRegex: a terminal's escape sequences
const ESCAPES = /\x1b(?:\[[\d;?]{0,16}[A-Za-z]|\][^\x07\n]{0,200}\x07)/g;

/** Text with plain blanks and `\n` only. Lines keep their number, except where HTML or a mail's encoding had none. */
export function normalise(text: string): string {
  let plain = text;
  if (plain.includes('\x1b')) plain = plain.replace(ESCAPES, '');
  if (plain.includes('\r')) plain = plain.replace(/\r\n?/g, '\n');
  if (/^content-transfer-encoding:[ \t]{1,8}base64/im.test(plain)) plain = base64(plain);
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
  plain = onOneLine(plain);
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
const TAG = new RegExp(`</?(?!cpuid\\b|leaf\\b|register\\b|processor\\b)[a-z!][^<>]{0,${MAX_TAG}}>`, 'gi');

/** RFC 2045, the parts of a mail that are base64; a part that cannot be decoded stays. */
function base64(text: string): string {
  return text.replace(
    /^(content-transfer-encoding:[ \t]{1,8}base64[^\n]{0,80}\n(?:[^\n]{1,900}\n){0,20}\n)((?:[a-z\d+/=]{1,200}\n){1,200000})/gim,
    (whole, head: string, body: string) => {
      try {
        const bytes = Uint8Array.from(atob(body.replace(/\s/g, '')), (character) => character.charCodeAt(0));
        return head + decodeText(bytes).replace(/\r\n?/g, '\n');
      } catch {
        return whole;
      }
    },
  );
}

/** A leaf, or a register, at the end of a line. */
const ASSIGNMENT =
  /((?:\b(?:leaf|function|sub-?leaf|index|flags|e[abc]x)["']?\s{0,4}[:= ][ \t]{0,4}["']?(?:0x)?[\da-f]{1,10}h?["']?|\(e[abc]x [01]{32})[,:)]{0,3})[ \t]{0,40}\n[ \t]{0,40}/gi;

/** Registers of a leaf that have a line each (YAML, Rust's Debug, a manual's style), as one row. */
function onOneLine(text: string): string {
  const each = /\beax["']?\s{0,4}[:= ][ \t]{0,4}["']?(?:0x)?[\da-f]{1,32}h?["']?[,)]{0,2}[ \t]{0,40}\n/i.test(
    text,
  );
  const below = /\bleaf [\da-f]{8}\)[ \t]{0,8}\n[ \t]{0,8}eax:/i.test(text);
  return each || below ? text.replace(ASSIGNMENT, '$1 ') : text;
}

/** Prefixes of mail, comments and lists before each line: quotes, comment signs, table bars. */
export function withoutQuotes(line: string): string {
  return line.replace(/^(?:[\s>|]|\/{2,3}|[#*](?=\s)){1,40}/, '');
}
