import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bare } from '../cpu.ts';
import { commonhv, type Source, type SourceFailure } from './index.ts';

const odd = (word: number): number => {
  let parity = 0;
  for (let rest = word; rest !== 0; rest &= rest - 1) parity ^= 1;
  return parity;
};
/** Random values, of which each has fewer bits than it should. `w`: a draw in 32-bit halves, the low one first. */
const PATTERNS: Readonly<Record<string, (w: Uint32Array, i: number) => void>> = {
  'one half twice': (w, i) => {
    w[i + 1] = w[i]!;
  },
  'a half and its complement': (w, i) => {
    w[i + 1] = ~w[i]!;
  },
  'a half and one that is a constant away': (w, i) => {
    w[i + 1] = w[i]! + 0x1234_5678;
  },
  'sixteen bits four times': (w, i) => {
    w[i] = (w[i]! & 0xffff) * 0x1_0001;
    w[i + 1] = w[i]!;
  },
  'sixteen bits twice beside a random half': (w, i) => {
    w[i] = (w[i]! & 0xffff) * 0x1_0001;
  },
  'a half that the value before had': (w, i) => {
    if (i > 0) w[i] = w[i - 1]!;
  },
  'a parity bit in each half': (w, i) => {
    for (const at of [i, i + 1]) w[at] = (w[at]! & 0x7fff_ffff) | (odd(w[at]! & 0x7fff_ffff) << 31);
  },
};

function started(pattern: (w: Uint32Array, i: number) => void) {
  const failures: SourceFailure[] = [];
  const source: Source = {
    name: 'patterned',
    secure: true,
    fill(bytes) {
      crypto.getRandomValues(bytes);
      const words = new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length >> 2);
      for (let i = 0; i + 1 < words.length; i += 2) pattern(words, i);
    },
  };
  const cpu = commonhv({ rng: { source, onFailure: (failure) => failures.push(failure) } })(bare);
  return { features: cpu.cpuid(0x4f00_0002, 0).eax, failures };
}

for (const [name, pattern] of Object.entries(PATTERNS)) {
  test(`no RNG is offered by a source whose values follow a pattern: ${name}`, () => {
    const { features, failures } = started(pattern);
    assert.equal(features & 1, 0);
    assert.deepEqual(
      failures.map(({ reason, outcome }) => [reason, outcome]),
      [['health', 'absent']],
    );
    assert.match(failures[0]!.detail, /^it failed (?:the start-up|a health) test: /);
  });
}

test('a good source passes the start-up test', () => {
  for (let i = 0; i < 20; i++)
    assert.deepEqual(
      started(() => {}),
      { features: 1, failures: [] },
    );
});
