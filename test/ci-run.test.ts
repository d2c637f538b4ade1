/** `.ci/run` with a stand-in for npm: a part that fails ends it with status 1, and one that is ended leaves nothing running. */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { skipUnless } from './support/require.ts';
import { scaled } from './support/time.ts';

const skip = skipUnless('bash', spawnSync('bash', ['-c', '']).status === 0, 'there is no bash here');
const work = mkdtempSync(join(tmpdir(), 'commonhv-ci-'));
after(() => rmSync(work, { recursive: true, force: true }));

/** `.ci/run PARTS` where npm is a shell script. */
function ci(npm: string, ...parts: readonly string[]) {
  writeFileSync(join(work, 'npm'), `#!/bin/sh\n${npm}\n`, { mode: 0o755 });
  const env = { ...process.env, PATH: `${work}:${process.env.PATH}` };
  const child = spawn('bash', ['.ci/run', ...parts], { env, stdio: ['ignore', 'pipe', 'inherit'] });
  let output = '';
  const begun = new Promise<void>((resolve) => {
    child.stdout.on('data', (bytes: Buffer) => {
      output += bytes;
      if (output.includes('begun')) resolve();
    });
  });
  const ended = new Promise<number | null>((resolve) => child.once('close', resolve));
  return { child, begun, ended, output: () => output };
}

test('a part that fails is the last one: its counts, and status 1', {
  skip,
  timeout: scaled(60_000),
}, async () => {
  const { ended, output } = ci(
    'echo "# tests 3"; echo "# fail 1"; [ "$1" != cit ]',
    'check',
    'test',
    'matrix',
  );
  assert.equal(await ended, 1);
  assert.match(
    output(),
    /^check {5}passed +\d+ s {2}tests 3 fail 1\ntest {6}FAILED +\d+ s {2}tests 3 fail 1\nin all/m,
  );
  assert.ok(!output().includes('=== matrix'));
});

for (const [signal, status] of [
  ['SIGTERM', 143],
  ['SIGHUP', 129],
] as const) {
  test(`${signal}: the part that runs is ended with all that it started`, {
    skip,
    timeout: scaled(60_000),
  }, async () => {
    const { child, begun, ended, output } = ci('sleep 100 & echo "begun $!"; wait', 'check', 'matrix');
    await begun;
    child.kill(signal);
    assert.equal(await ended, status);
    assert.match(output(), /^check {5}ended\nin all: .* exit status/m);
    const [, pid] = /begun (\d+)/.exec(output())!;
    assert.ok(!existsSync(`/proc/${pid}/exe`)); // of a zombie, which only the first process can remove, it is gone too
  });
}
