/** A layer in a process that is copied as its whole machine would be, with an equal process id: the loss is the read-ahead alone. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { skipUnless } from './support/require.ts';
import { samePid } from './support/same-pid.ts';
import { scaled } from './support/time.ts';

const library = samePid();
const skip = skipUnless('cc', library !== undefined, 'there is no C compiler, or this is not Linux on x64');
const limit = { timeout: scaled(60_000), skip };
/** Values of the largest draw. */
const READ_AHEAD = 512;

interface Copy {
  readonly first: readonly string[];
  readonly later: readonly string[];
  readonly restored: readonly string[];
  readonly before: string;
  readonly after: string;
}

/** A copied process has one thread: V8 must not wait for others. */
function copies(source: string): readonly [Copy, Copy] {
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    ['--single-threaded', 'build/test/support/copied-layer.js', source],
    {
      encoding: 'utf8',
      env: { ...process.env, LD_PRELOAD: library },
    },
  );
  assert.equal(status, 0, stderr);
  const lines = stdout.trim().split('\n');
  assert.equal(lines.length, 2);
  return lines.map((line) => JSON.parse(line)) as [Copy, Copy];
}

/** How many values of both lists are equal. */
const shared = (one: readonly string[], other: readonly string[]) =>
  one.filter((value) => other.includes(value)).length;

test(
  'two copies share the read-ahead at most, none of it a millisecond later, and no generation after a restore',
  limit,
  () => {
    const [one, other] = copies('kernel');
    const prepared = shared(one.first, other.first);
    assert.ok(prepared > 0 && prepared <= READ_AHEAD, `${prepared} values`);
    assert.deepEqual(one.first.slice(0, prepared), other.first.slice(0, prepared), 'they are the first ones');
    assert.equal(shared(one.later, other.later), 0);
    assert.equal(shared(one.restored, other.restored), 0);
    assert.equal(one.before, other.before, 'nobody has told them yet');
    assert.equal(new Set([one.before, one.after, other.after]).size, 3);
    const halves = [one, other].map(({ after }) => [BigInt(after) & 0xffff_ffffn, BigInt(after) >> 32n]);
    assert.ok(halves[0]![0] !== halves[1]![0] && halves[0]![1] !== halves[1]![1]);
  },
);

test(
  'over Node’s own generator every value is equal in both copies, and so is the generation after a restore',
  limit,
  () => {
    const [one, other] = copies('node');
    assert.deepEqual(one.first, other.first);
    assert.deepEqual(one.later, other.later);
    assert.deepEqual(one.restored, other.restored);
    assert.equal(one.after, other.after);
  },
);
