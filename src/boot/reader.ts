/** Reads images that nobody vouches for. */

/** A bounded, little-endian reader: hostile offsets end in a TypeError that names the part, never in a wrong number. */
export function reader(bytes: Uint8Array, what = 'kernel') {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const check = (offset: number, size: number) => {
    if (!(offset >= 0 && size >= 0 && offset + size <= bytes.length)) {
      throw new TypeError(
        `${what}: truncated or broken: it names ${size} bytes at offset ${offset}, and has ${bytes.length}`,
      );
    }
    return offset;
  };
  return {
    length: bytes.length,
    u8: (offset: number) => view.getUint8(check(offset, 1)),
    u16: (offset: number) => view.getUint16(check(offset, 2), true),
    u32: (offset: number) => view.getUint32(check(offset, 4), true),
    /** A 64-bit field as a number; beyond 2^53 it loses low bits, which every bound then refuses anyway. */
    u64: (offset: number) =>
      view.getUint32(check(offset, 8), true) + view.getUint32(offset + 4, true) * 2 ** 32,
    slice: (offset: number, size: number) => bytes.subarray(check(offset, size), offset + size),
  };
}
export type Reader = ReturnType<typeof reader>;
