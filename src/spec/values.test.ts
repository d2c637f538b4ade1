import assert from 'node:assert/strict';
import { test } from 'node:test';
import { flawOf } from './values.ts';

const patternOf = (values: readonly bigint[]) => {
  const kind = flawOf(values)?.kind;
  return kind === undefined ? undefined : kind === 'step' ? 'patterned' : 'stuck';
};

const fresh = (count: number) => [...globalThis.crypto.getRandomValues(new BigUint64Array(count))];

test('random values show no pattern, 2 to 512 of them', () => {
  for (let i = 0; i < 2000; i++) assert.equal(patternOf(fresh(2 + (i % 12))), undefined);
  assert.equal(patternOf(fresh(512)), undefined);
});

const masks: readonly (readonly [string, bigint])[] = [
  ['a constant high half', 0xffff_ffffn],
  ['a constant low half', 0xffff_ffff_0000_0000n],
  ['48 constant bits', 0xffffn],
  ['a constant byte', 0xffff_00ff_ffff_ffffn],
  ['bytes of 7 bits', 0x7f7f_7f7f_7f7f_7f7fn],
];
for (const [name, mask] of masks) {
  test(`${name} beside random bits is stuck, for 8 values`, () => {
    for (let i = 0; i < 100; i++) {
      const constant = 0x3243_f6a8_885a_308dn & ~mask & (name.includes('7') ? 0n : ~0n);
      assert.equal(
        patternOf(fresh(8).map((value) => (value & mask) | BigInt.asUintN(64, constant))),
        'stuck',
      );
    }
  });
}

test('text is stuck; a value that comes twice too', () => {
  const text = new TextEncoder().encode('it is no random text: it has 8 words of 8 bytes, one by one ....');
  assert.equal(patternOf([...new BigUint64Array(text.slice(0, 64).buffer)]), 'stuck');
  const [one, two] = fresh(2) as [bigint, bigint];
  assert.equal(patternOf([one, two, one]), 'stuck');
});

test('equal steps are a pattern, of the whole value or of a half, up and down', () => {
  const up = Array.from({ length: 8 }, (_, i) => BigInt(i) * 0x1234_5678_9abc_def1n);
  assert.equal(patternOf(up.map((value) => BigInt.asUintN(64, value))), 'patterned');
  assert.equal(patternOf(up.map((value) => BigInt.asUintN(64, -value))), 'patterned');
  for (const shift of [0n, 32n]) {
    const half = fresh(8).map(
      (value, i) => (value & (0xffff_ffffn << (32n - shift))) | ((BigInt(i) * 0x0305_0709n) << shift),
    );
    assert.equal(patternOf(half), 'patterned');
  }
});
