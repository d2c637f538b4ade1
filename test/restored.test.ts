/** `commonhv/restored`: the view of a restore that processes have, and Node's own generators in two copies of one process. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { onRestored, reseed } from 'commonhv/restored';
import { skipUnless } from './support/require.ts';
import { samePid } from './support/same-pid.ts';
import { scaled } from './support/time.ts';

const folder = mkdtempSync(join(tmpdir(), 'commonhv-restored-'));
after(() => rmSync(folder, { recursive: true, force: true }));
const library = samePid();
const skip = skipUnless('cc', library !== undefined, 'there is no C compiler, or this is not Linux on x64');
const limit = { timeout: scaled(60_000), skip };

/** The names of generators that give two copies the same value. */
function repeating(remedy: string): readonly string[] {
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    // A copy has none of V8's other threads, which it would wait for.
    ['--single-threaded', 'build/test/support/copied-process.js', remedy],
    {
      encoding: 'utf8',
      timeout: scaled(30_000),
      env: { ...process.env, LD_PRELOAD: library },
    },
  );
  assert.equal(status, 0, stderr);
  const [first, second] = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, string>);
  return Object.keys(first!).filter((name) => first![name] === second![name]);
}

test('copies of a process draw alike from every generator of Node', limit, () => {
  assert.deepEqual(repeating('none'), [
    'randomBytes',
    'randomUUID',
    'webUUID',
    'getRandomValues',
    'randomInt',
    'ed25519',
    'ecdh',
    'mathRandom',
  ]);
});

test('RAND_poll alone leaves the values that were drawn ahead, and Math.random', limit, () => {
  const left = repeating('poll');
  assert.ok(left.includes('randomUUID') && left.includes('mathRandom'), left.join());
  assert.ok(!left.includes('randomBytes'));
});

test('drained caches alone leave OpenSSL as it is', limit, () => {
  assert.ok(repeating('drain').includes('randomBytes'));
});

test('rekey parts every generator', limit, () => {
  assert.deepEqual(repeating('rekey'), []);
});

test(
  'the agent’s file: a change of its value calls back once, errors are reported, and the end ends it',
  limit,
  async () => {
    const { openView } = (await import(
      new URL('../../dist/restored/view.js', import.meta.url).href
    )) as typeof import('../src/restored/view.ts');
    const path = join(folder, 'generation');
    const write = (value: number) =>
      writeFileSync(path, Buffer.from(Uint32Array.of(value).buffer), { flag: 'r+' });
    writeFileSync(path, Buffer.from([1, 0, 0, 0]));
    const view = openView(join(folder, 'no-driver'), path)!;
    assert.deepEqual(view.look(), { generation: 1n, reseeded: true });
    write(0xffff_fffe);
    assert.equal(view.look().generation, 0xffff_fffen);
    writeFileSync(join(folder, 'short'), 'ab');
    assert.equal(openView(join(folder, 'none'), join(folder, 'short')), undefined);
  },
);

test('without driver and agent: no generation, and a reseed that is refused by name', limit, async () => {
  const { generation } = await import('commonhv/restored');
  if (generation() !== undefined) return; // a machine with one of them
  await assert.rejects(reseed(), /neither \/dev\/commonhv nor \/run\/commonhv\/generation is there/);
  assert.throws(() => onRestored(() => {}, { interval: 0 }), /^RangeError: interval: expected 1 to 60000/);
  let calls = 0;
  const stop = onRestored(() => calls++, { interval: 1 });
  await sleep(20);
  stop();
  assert.equal(calls, 0);
});

test('a program under --import commonhv/restored/auto runs and ends as before', limit, () => {
  const { status, stdout } = spawnSync(
    process.execPath,
    ['--import', 'commonhv/restored/auto', '-e', 'console.log(1)'],
    { encoding: 'utf8' },
  );
  assert.deepEqual([status, stdout], [0, '1\n']);
});
