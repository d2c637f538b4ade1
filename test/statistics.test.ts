/** A short look at the values by the programs that `npm run bench -- statistics` gives gigabytes to. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { v86 } from 'commonhv/engines/v86';
import { pipe } from '../bench/words/pipe.ts';
import { inProcess, layer, sending, throughGuest } from '../bench/words/stream.ts';
import { skipUnless } from './support/require.ts';

const MiB = 2 ** 20;
const missing = ['rngtest', 'ent'].filter((name) => spawnSync(name, ['--help']).error !== undefined);
const options = {
  skip: skipUnless('statistics', missing.length === 0, `no ${missing.join(', no ')} (rng-tools5, ent)`),
  timeout: 120_000,
};
const count = (text: string, what: string) => Number(new RegExp(`${what}: *(\\d+)`).exec(text)?.[1]);

// FIPS 140-2 fails 0.8 of 1,000 good blocks: in 3,355 blocks 2.7, and 17 or more once in some 10^9 runs.
for (const [name, stream, size, most] of [
  ['the layer in this process', inProcess, 8 * MiB, 16],
  [
    'the RDMSRs of a guest in v86',
    () => throughGuest(v86({ memory: 4 * MiB }).start(layer(), { kernel: sending })),
    MiB,
    8,
  ],
] as const) {
  test(`rngtest finds FIPS 140-2 kept by values of ${name}`, options, async () => {
    const { text } = await pipe(stream(), ['rngtest'], size);
    const [good, bad] = [count(text, 'FIPS 140-2 successes'), count(text, 'FIPS 140-2 failures')];
    assert.ok(good + bad >= Math.floor(size / 2500) - 1, text);
    assert.ok(bad <= most, text);
    assert.equal(count(text, 'Continuous run'), 0);
  });
}

test('ent finds eight bits in a byte of values of the layer', options, async () => {
  const { text } = await pipe(inProcess(), ['ent', '-t'], 8 * MiB);
  const [, bytes, entropy, chi, mean] = text.split('\n')[1]!.split(',').map(Number);
  assert.equal(bytes, 8 * MiB);
  assert.ok(entropy! > 7.9999, text);
  assert.ok(Math.abs(chi! - 255) < 6.5 * Math.sqrt(510), text); // 255 degrees of freedom
  assert.ok(Math.abs(mean! - 127.5) < 6.5 * Math.sqrt(5461.25 / bytes!), text);
});

test('both see it when values are bad', options, async () => {
  function* spoilt(byte: (good: number, at: number) => number) {
    for (const chunk of inProcess()) yield chunk.map(byte);
  }
  const noSevens = spoilt((good) => (good === 7 ? 8 : good));
  const { text } = await pipe(noSevens, ['ent', '-t'], MiB);
  assert.ok(Number(text.split('\n')[1]!.split(',')[3]) > 1000, text);
  const zeroNibbles = spoilt((good, at) => (at % 20 === 0 ? good & 0xf0 : good));
  assert.ok(count((await pipe(zeroNibbles, ['rngtest'], MiB)).text, 'FIPS 140-2 failures') > 20);
});
