/** Small multiboot guests for the tests, written as machine code. */

/** Where the image is loaded, and its first instruction. */
export const BASE = 0x10_0000;
export const CODE = BASE + 0x20;

/** 32-bit little-endian bytes. */
export const u32 = (value: number) => [0, 8, 16, 24].map((shift) => (value >>> shift) & 0xff);

/** A kernel with `code` at its entry, and more bytes at addresses of their own. */
export function kernel(
  code: readonly number[],
  more: Readonly<Record<number, readonly number[]>> = {},
): Uint8Array {
  const header = [0x1bad_b002, 0x1_0000, -(0x1bad_b002 + 0x1_0000), BASE, BASE, 0, 0, CODE];
  const parts = { [BASE]: header.flatMap(u32), [CODE]: code, ...more };
  const end = Math.max(...Object.entries(parts).map(([at, bytes]) => Number(at) + bytes.length));
  const image = new Uint8Array(end - BASE);
  for (const [at, bytes] of Object.entries(parts)) image.set(bytes, Number(at) - BASE);
  return image;
}

/** Sends AL: v86's and a test's serial port is always ready. */
export const SEND_AL = [0x66, 0xba, 0xf8, 0x03, 0xee]; // mov dx, 3f8h; out dx, al
export const send = (character: string) => [0xb0, character.charCodeAt(0), ...SEND_AL];

/** Waits for a character and takes it into AL. */
export const RECEIVE_AL = [
  ...[0x66, 0xba, 0xfd, 0x03], // mov dx, 3fdh
  ...[0xec, 0xa8, 0x01, 0x74, 0xfb], // in al, dx; test al, 1; jz back to in
  ...[0xb2, 0xf8, 0xec], // mov dl, f8h; in al, dx
];

export const HALT = [0xfa, 0xf4]; // cli; hlt
export const SPIN = [0xeb, 0xfe]; // jmp to itself

/** Everything that a stream brings until its end. */
export async function whole(readable: ReadableStream<Uint8Array>): Promise<string> {
  let text = '';
  const reader = readable.getReader();
  for (let next = await reader.read(); !next.done; next = await reader.read()) {
    text += new TextDecoder('latin1').decode(next.value);
  }
  return text;
}
