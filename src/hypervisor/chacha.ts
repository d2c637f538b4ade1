/** ChaCha20's block function (RFC 8439, 2.3) as a stream that is laid over bytes: the fast part of mixing. */

/** "expa", "nd 3", "2-by", "te k". */
const CONSTANTS = [0x6170_7865, 0x3320_646e, 0x7962_2d32, 0x6b20_6574];
const BLOCK_WORDS = 16;

/**
 * XORs `data`, a multiple of 4 bytes at an offset that is one, with the stream of `key`, eight words, from block 0 with a nonce
 * of zeros: so a key is used for one call only. Words are little-endian, as on every processor that runs this.
 */
export function xorStream(key: Uint32Array, data: Uint8Array): void {
  const words = new Int32Array(data.buffer, data.byteOffset, data.length >> 2);
  const input = new Int32Array(BLOCK_WORDS);
  input.set(CONSTANTS);
  input.set(key, 4);
  const block = new Int32Array(BLOCK_WORDS);
  for (let at = 0; at < words.length; at += BLOCK_WORDS) {
    block.set(input);
    for (let round = 0; round < 10; round++) {
      quarter(block, 0, 4, 8, 12);
      quarter(block, 1, 5, 9, 13);
      quarter(block, 2, 6, 10, 14);
      quarter(block, 3, 7, 11, 15);
      quarter(block, 0, 5, 10, 15);
      quarter(block, 1, 6, 11, 12);
      quarter(block, 2, 7, 8, 13);
      quarter(block, 3, 4, 9, 14);
    }
    const count = Math.min(BLOCK_WORDS, words.length - at);
    for (let i = 0; i < count; i++) words[at + i] = words[at + i]! ^ (block[i]! + input[i]!);
    input[12] = input[12]! + 1;
  }
  input.fill(0);
  block.fill(0);
}

/** RFC 8439, 2.1. */
function quarter(x: Int32Array, a: number, b: number, c: number, d: number): void {
  let [xa, xb, xc, xd] = [x[a]!, x[b]!, x[c]!, x[d]!];
  xa = (xa + xb) | 0;
  xd ^= xa;
  xd = (xd << 16) | (xd >>> 16);
  xc = (xc + xd) | 0;
  xb ^= xc;
  xb = (xb << 12) | (xb >>> 20);
  xa = (xa + xb) | 0;
  xd ^= xa;
  xd = (xd << 8) | (xd >>> 24);
  xc = (xc + xd) | 0;
  xb ^= xc;
  xb = (xb << 7) | (xb >>> 25);
  x[a] = xa;
  x[b] = xb;
  x[c] = xc;
  x[d] = xd;
}
