import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Health, health, proportionCutoff, repetitionCutoff } from './health.ts';

const fresh = (length: number) => globalThis.crypto.getRandomValues(new Uint8Array(length));

/** Chops bytes into draws, as the layer does; the place of the alarm, in bytes, or undefined. */
function alarm(tests: Health, bytes: Uint8Array, draw = 1024): string | undefined {
  for (let at = 0; at < bytes.length; at += draw) {
    const failed = tests.check(bytes.subarray(at, at + draw));
    if (failed !== undefined) return failed;
  }
  return undefined;
}

/** Random bytes of which none is 7. */
const filler = (length: number) => fresh(length).map((byte) => (byte === 7 ? 8 : byte));

/** P(X >= k) for X binomial over n trials of 2^-h each, as an exact fraction of 2^(h n). */
function atLeast(k: number, n: number, h: number): bigint {
  let choose = 1n;
  let sum = 0n;
  for (let j = 0; j <= n; j++) {
    if (j >= k) sum += choose * (2n ** BigInt(h) - 1n) ** BigInt(n - j);
    choose = (choose * BigInt(n - j)) / BigInt(j + 1);
  }
  return sum;
}

test('SP 800-90B 4.4.1: the repetition cut-off is 1 + ceil(-log2(alpha) / H)', () => {
  assert.equal(repetitionCutoff(8, 40), 6); // bytes: 1 + 40 / 8
  assert.equal(repetitionCutoff(64, 40), 2); // values: 1 + ceil(0.625)
  assert.equal(repetitionCutoff(1, 20), 21); // the example of the standard's text: H = 1, alpha = 2^-20
  assert.equal(repetitionCutoff(8, 20), 4);
});

test('SP 800-90B 4.4.2: the proportion cut-off is the least that W samples reach less often than alpha, exactly', () => {
  for (const [window, entropy, falseAlarm, cutoff] of [
    [512, 8, 40, 19],
    [512, 8, 20, 13],
    [512, 1, 30, 325],
    [1024, 1, 20, 589],
  ] as const) {
    assert.equal(proportionCutoff(window, entropy, falseAlarm), cutoff);
    // C = 1 + CRITBINOM: P(X >= C) is at most alpha, and P(X >= C - 1) is more
    const alpha = 2n ** BigInt(entropy * window - falseAlarm);
    assert.ok(atLeast(cutoff, window, entropy) <= alpha);
    assert.ok(atLeast(cutoff - 1, window, entropy) > alpha);
  }
});

test('five equal bytes in a row pass, six are an alarm', () => {
  for (const start of [0, 3, 8, 500, 1018]) {
    for (const run of [5, 6]) {
      const bytes = fresh(1024);
      bytes.fill(0x5a, start, start + run);
      if (start > 0) bytes[start - 1] = 0xa5;
      if (start + run < 1024) bytes[start + run] = 0xa5;
      assert.equal(alarm(health(), bytes), run === 6 ? 'repetition of bytes' : undefined, `${start} ${run}`);
    }
  }
});

test('a byte that comes 18 times in its window passes, 19 times is an alarm', () => {
  for (const times of [18, 19]) {
    const bytes = filler(1024);
    bytes[0] = 7;
    for (let i = 1; i < times; i++) bytes[i * 20] = 7;
    assert.equal(alarm(health(), bytes), times === 19 ? 'proportion of bytes' : undefined);
  }
});

test('a window goes on over draws that are shorter than it', () => {
  for (const times of [18, 19]) {
    const bytes = filler(512);
    bytes[0] = 7;
    for (let i = 1; i < times; i++) bytes[i * 25] = 7;
    assert.equal(alarm(health(), bytes, 64), times === 19 ? 'proportion of bytes' : undefined);
  }
});

test('a value that equals the one before is an alarm', () => {
  for (const at of [8, 504, 1016]) {
    const bytes = fresh(1024);
    bytes.copyWithin(at, at - 8, at);
    assert.equal(alarm(health(), bytes), 'repetition of values');
  }
});

test('a cycle of n values is met within 4 n values of its start, whatever came before it in the draw', () => {
  for (const before of [0, 1, 100]) {
    for (const n of [2, 3, 5, 64, 127, 128, 129, 1000, 5000]) {
      const cycle = fresh(n * 8);
      const bytes = new Uint8Array((before + 4 * Math.max(n, before) + 8) * 8);
      bytes.set(fresh(before * 8));
      for (let at = before * 8; at < bytes.length; at += cycle.length) {
        bytes.set(cycle.subarray(0, Math.min(cycle.length, bytes.length - at)), at);
      }
      const failed = alarm(health(), bytes, bytes.length) ?? 'none';
      assert.match(failed, /cycle of values|proportion of bytes/, `${before} ${n}`);
    }
  }
});

test('a cycle of draws is met by their heads within 4 n draws', () => {
  for (const n of [1, 2, 3, 7, 64]) {
    const draws = Array.from({ length: n }, () => fresh(64));
    const tests = health();
    let failed: string | undefined;
    let count = 0;
    for (; failed === undefined && count < 4 * n + 2; count++) failed = tests.check(draws[count % n]!);
    assert.equal(failed, n === 1 ? 'repetition of draws' : 'cycle of draws', `${n}`);
  }
});

/** Values of 64 bits, each the given bits of a random one and the given constant elsewhere. */
function lanes(count: number, random: bigint, constant: bigint): Uint8Array {
  const values = new BigUint64Array(fresh(count * 8).buffer);
  return new Uint8Array(values.map((value) => (value & random) | (constant & ~random)).buffer);
}

test('bits that never change are an alarm within one draw of 64 values: a bit, a half, 48 bits, 7-bit bytes, text', () => {
  const random = 2n ** 64n - 1n;
  const pi = 0x3243_f6a8_885a_308dn;
  const stuck: readonly (readonly [string, bigint])[] = [
    ['bit 63', random >> 1n],
    ['bit 0', random ^ 1n],
    ['the high half', 0xffff_ffffn],
    ['the low half', 0xffff_ffff_0000_0000n],
    ['all but 16 bits', 0xffff_0000n],
    ['bit 7 of each byte', 0x7f7f_7f7f_7f7f_7f7fn],
  ];
  for (const [name, mask] of stuck) {
    for (let i = 0; i < 60; i++)
      assert.notEqual(health().check(lanes(64, mask, i % 2 === 0 ? 0n : pi)), undefined, name);
    for (let i = 0; i < 60; i++) {
      // In draws of 8 values their heads tell, after 64 of them.
      const tests = health();
      let count = 0;
      while (tests.check(lanes(8, mask, pi)) === undefined && count < 70) count++;
      assert.ok(count < 64, `${name}: ${count} draws`);
    }
  }
  const letters = Uint8Array.from(fresh(512), (byte) =>
    'abcdefghijklmnopqrstuvwxyzABCDEF'.charCodeAt(byte & 31),
  );
  assert.notEqual(health().check(letters), undefined);
});

test('a half that counts beside a random one is an alarm', () => {
  for (const shift of [0n, 32n]) {
    const values = new BigUint64Array(fresh(512).buffer).map(
      (value, i) => (value & (0xffff_ffffn << (32n - shift))) | (BigInt(i * 0x0301_0701) << shift),
    );
    assert.equal(health().check(new Uint8Array(values.buffer)), 'constant step');
  }
});

test('nothing of the values of a draw stays in the state: draws with equal heads leave equal state', () => {
  const head = fresh(8);
  const draw = () => Uint8Array.of(...head, ...fresh(56));
  const [one, other] = [health(), health()];
  assert.equal(one.check(draw()), undefined);
  assert.equal(other.check(draw()), undefined);
  // Same answers to whatever comes: the only state is that of heads.
  const next = [fresh(64), Uint8Array.of(...head, ...fresh(56)), fresh(64)];
  assert.deepEqual(
    next.map((bytes) => one.check(bytes)),
    next.map((bytes) => other.check(bytes)),
  );
});

test('counters, zeros, ones and text are an alarm within one draw', () => {
  const counter = new Uint8Array(
    new BigUint64Array(128).map((_, i) => BigInt(i) + 0x1234_5678_9abc_def0n).buffer,
  );
  const text = new TextEncoder().encode(
    'It is a truth universally acknowledged, that a value repeats. '.repeat(20),
  );
  for (const bytes of [counter, new Uint8Array(1024), new Uint8Array(1024).fill(255), text.slice(0, 1024)]) {
    assert.notEqual(alarm(health(), bytes), undefined);
  }
});

test('the operating system passes 16 MiB', () => {
  const tests = health();
  for (let i = 0; i < 256; i++) assert.equal(tests.check(fresh(65_536)), undefined);
});

test('at a rate of 2^-10 alarms come as often as the arithmetic says', () => {
  // Repetition: cut-off 3, so 2^-16 a byte. Proportion: P(X >= 9) over 511 samples that follow the first, a window.
  const windows = 2 ** 14;
  const seen = { repetition: 0, proportion: 0 };
  for (let i = 0; i < windows; i++) {
    const failed = health(10).check(fresh(512));
    if (failed === 'repetition of bytes') seen.repetition++;
    else if (failed === 'proportion of bytes') seen.proportion++;
  }
  assert.equal(repetitionCutoff(8, 10), 3);
  assert.equal(proportionCutoff(512, 8, 10), 9);
  const proportion = (windows * Number((atLeast(8, 511, 8) * 10n ** 12n) / 2n ** BigInt(8 * 511))) / 1e12;
  // Six standard deviations of a Poisson count: one run in some hundred million fails by chance.
  const near = (count: number, expected: number) =>
    assert.ok(Math.abs(count - expected) < 6 * Math.sqrt(expected) + 1, `${count}, expected ${expected}`);
  near(seen.repetition, (windows * 510) / 2 ** 16);
  near(seen.proportion, proportion);
});
