import assert from 'node:assert/strict';
import { createHmac, randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { drbg } from './drbg.ts';

test("HMAC_DRBG gives NIST's bytes (CAVP, HMAC_DRBG SHA-256, no reseed, first case)", () => {
  const entropy = 'ca851911349384bffe89de1cbdc46e6831e44d34a4fb935ee285dd14b71a7488';
  const nonce = '659ba96c601dc69fc902940805ec0ca8';
  const generator = drbg(new Uint8Array(Buffer.from(entropy + nonce, 'hex')));
  const out = new Uint8Array(128);
  generator.generate(out);
  generator.generate(out);
  assert.equal(
    Buffer.from(out).toString('hex'),
    'e528e9abf2dece54d47c7e75e5fe302149f817ea9fb4bee6f4199697d04d5b89d54fbb978a15b5c443c9ec21036d2460' +
      'b6f73ebad0dc2aba6e624abf07745bc107694bb7547bb0995f70de25d6b29e2d3011bb19d27676c07162c8b5ccde0668' +
      '961df86803482cb37ed6d5c0bb8d50cf1f50d476aa0458bdaba806f48be9dcb8',
  );
});

test('update stirs data in as section 10.1.2.2 has it, and the seed is wiped', () => {
  const seed = new Uint8Array(randomBytes(48));
  const again = (data: Uint8Array[]) => {
    let key = Buffer.alloc(32);
    let value = Buffer.alloc(32, 1);
    const mac = (...parts: Uint8Array[]) => createHmac('sha256', key).update(Buffer.concat(parts)).digest();
    for (const item of data) {
      for (const round of [0, 1]) {
        key = mac(value, Uint8Array.of(round), item);
        value = mac(value);
      }
    }
    return mac(value);
  };
  const data = new Uint8Array(randomBytes(8));
  const expected = again([seed.slice(), data]);
  const generator = drbg(seed);
  assert.deepEqual(seed, new Uint8Array(48));
  generator.update(data);
  const out = new Uint8Array(20);
  generator.generate(out);
  assert.deepEqual(Buffer.from(out), expected.subarray(0, 20));
});
