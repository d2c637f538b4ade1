/** Real copies: a stock Debian kernel in v86, whose only program is the sampler, and one with the agent. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { noCompiler32 } from './support/compiler.ts';
import { debianGuest } from './support/debian-guest.ts';
import { scaled } from './support/time.ts';

const limit = { timeout: scaled(400_000), skip: noCompiler32 || debianGuest().skip };

// To the end or not: a young kernel reseeds by itself every few seconds, and copies part there.
test('copies of a stock kernel without a remedy share its values', limit, () => {
  const words = [
    'clones',
    '.cache/debian/vmlinuz',
    '--memory',
    '64M',
    '--copies',
    '2',
    '--seconds',
    '1',
    '--format',
    'json',
  ];
  const { status, stdout, stderr } = spawnSync(process.execPath, ['dist/cli/bin.js', ...words], {
    encoding: 'utf8',
    timeout: scaled(380_000),
  });
  assert.equal(status, 1, stderr);
  const { differ, sources } = JSON.parse(stdout) as {
    differ: boolean;
    sources: { name: string; state: string; samples: number }[];
  };
  assert.equal(differ, false);
  for (const name of ['getrandom', 'uuid', 'once']) {
    const { state, samples } = sources.find((one) => one.name === name)!;
    assert.ok(state === 'alike' || (state === 'parted' && name !== 'once'), `${name}: ${state}`);
    assert.ok(samples > (state === 'alike' ? 10 : 0), `${name}: ${samples} samples`);
  }
});
