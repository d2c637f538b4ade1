/** ACPI Machine Language (ACPI 6.5, chapter 20), as much as the tables of `acpi.ts` need. */

type Bytes = readonly number[];

/** Text in a field of `length` bytes, padded with spaces. */
export const text = (value: string, length: number): Bytes =>
  [...value.padEnd(length)].map((character) => character.charCodeAt(0));

/** A term whose length stands before it, 20.2.4: up to 3FH in one byte, up to FFFH in two. The length counts its own bytes. */
function sized(opcode: Bytes, body: Bytes): Bytes {
  const short = body.length + 1;
  if (short <= 0x3f) return [...opcode, short, ...body];
  const long = body.length + 2;
  if (long > 0xfff) throw new RangeError(`a term of ${body.length} bytes, expected at most 4,093`);
  return [...opcode, 0x40 | (long & 0xf), long >> 4, ...body];
}

/** A name of segments with 4 characters each; the first may begin with a backslash, for the root. */
function path(...segments: readonly string[]): Bytes {
  const [first = '', ...more] = segments;
  const root = first.startsWith('\\') ? [0x5c] : [];
  const all = [first.replace('\\', ''), ...more];
  const dual = all.length === 2 ? [0x2e] : [];
  return [...root, ...dual, ...all.flatMap((segment) => text(segment, 4))];
}

/** A constant: a string, a number of 32 bits, or the bytes of an object. */
function data(value: string | number | Bytes): Bytes {
  if (typeof value === 'string') return [0x0d, ...text(value, value.length), 0];
  if (typeof value !== 'number') return value;
  if (value === 0) return [0];
  return [0x0c, ...[0, 8, 16, 24].map((shift) => (value >>> shift) & 0xff)];
}

export const name = (segment: string, value: string | number | Bytes): Bytes => [
  0x08,
  ...path(segment),
  ...data(value),
];
export const packageOf = (values: readonly (string | number)[]): Bytes =>
  sized([0x12], [values.length, ...values.flatMap(data)]);
export const scope = (segment: string, terms: Bytes): Bytes => sized([0x10], [...path(segment), ...terms]);
export const device = (segment: string, terms: Bytes): Bytes =>
  sized([0x5b, 0x82], [...path(segment), ...terms]);
/** A method without arguments, which may not run twice at once. */
export const method = (segment: string, terms: Bytes): Bytes =>
  sized([0x14], [...path(segment), 0x08, ...terms]);
/** Notifies the device at a path of two segments. */
export const notify = (parent: string, segment: string, value: number): Bytes => [
  0x86,
  ...path(parent, segment),
  ...[0x0a, value],
];
