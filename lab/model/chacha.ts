/** ChaCha20's block function (RFC 8439, 2.3): the core of a guest's own generator, Linux' too. */

/** "expand 32-byte k", little-endian */
const CONSTANTS = [0x6170_7865, 0x3320_646e, 0x7962_2d32, 0x6b20_6574] as const;

/** The sixteen words of one block. `key` is eight words, `counter` 32 bits; the nonce is three words. */
export function chacha20(
  key: Uint32Array,
  counter: number,
  nonce: readonly number[] = [0, 0, 0],
): Uint32Array {
  const start = Uint32Array.of(...CONSTANTS, ...key, counter, ...nonce);
  const x = start.slice();
  for (let round = 0; round < 10; round++) {
    for (let i = 0; i < 4; i++) quarter(x, i, i + 4, i + 8, i + 12);
    for (let i = 0; i < 4; i++) quarter(x, i, ((i + 1) % 4) + 4, ((i + 2) % 4) + 8, ((i + 3) % 4) + 12);
  }
  return x.map((word, i) => word + start[i]!);
}

function quarter(x: Uint32Array, a: number, b: number, c: number, d: number): void {
  add(x, a, b, d, 16);
  add(x, c, d, b, 12);
  add(x, a, b, d, 8);
  add(x, c, d, b, 7);
}

/** a += b; d ^= a; d <<<= n */
function add(x: Uint32Array, a: number, b: number, d: number, n: number): void {
  x[a]! += x[b]!;
  const mixed = x[d]! ^ x[a]!;
  x[d] = (mixed << n) | (mixed >>> (32 - n));
}
