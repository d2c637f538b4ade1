import assert from 'node:assert/strict';
import { createCipheriv, randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { xorStream } from './chacha.ts';

test('the stream is ChaCha20 of RFC 8439, by OpenSSL’s word, over any number of words', () => {
  for (const length of [4, 60, 64, 68, 128, 4096]) {
    const key = new Uint8Array(randomBytes(32));
    const data = new Uint8Array(randomBytes(length));
    const cipher = createCipheriv('chacha20', key, new Uint8Array(16)); // block 0, nonce of zeros
    const expected = new Uint8Array(cipher.update(data));
    xorStream(new Uint32Array(key.buffer), data);
    assert.deepEqual(data, expected, `${length} bytes`);
  }
});

test('the stream of a key of zeros begins as RFC 8439, A.1, test vector 1 has it', () => {
  const data = new Uint8Array(64);
  xorStream(new Uint32Array(8), data);
  assert.equal(Buffer.from(data.subarray(0, 16)).toString('hex'), '76b8e0ada0f13d90405d6ae55386bd28');
});
