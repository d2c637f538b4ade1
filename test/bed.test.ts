/** The KVM bed's command line; and the bed itself, where QEMU and Debian's packages can be had. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { skipUnless } from './support/require.ts';

const bed = (...args: string[]) =>
  spawnSync(process.execPath, ['scripts/bed.js', ...args], { encoding: 'utf8', timeout: 400_000 });

const wrong: [string[], RegExp][] = [
  [[], /^bed: a COMMAND is missing; --help shows the options\n$/],
  [['--kernel', 'tiny', 'true'], /^bed: --kernel tiny: expected cloud or full\n$/],
  [['--timeout', '0', 'true'], /^bed: --timeout 0: expected a number above 0, at most 86400\n$/],
  [['--memory', '64', 'true'], /^bed: --memory 64: expected a whole number of MiB, 128 to 65536\n$/],
  [['--nothing', 'true'], /^bed: Unknown option '--nothing'; --help shows the options\n$/],
  [['--vmgenid', 'true'], /^bed: --vmgenid goes with --full: the cloud kernel has no driver\n$/],
  [['--copies', '2', 'true'], /^bed: --copies goes with --prepare\n$/],
  [['--resume', '--prepare', 'true', 'true'], /^bed: --prepare contradicts --resume\n$/],
  [['--add', 'nowhere=x', 'true'], /^bed: --add nowhere=x: expected FILE=PATH, and nowhere is not there\n$/],
];
for (const [args, message] of wrong) {
  test(`exits with status 2 for: bed ${args.join(' ')}`, () => {
    const { status, stderr } = bed(...args);
    assert.equal(status, 2);
    assert.match(stderr, message);
  });
}

test('a command in the bed has /dev/kvm; its output and exit status come back; it is bounded in time', (t) => {
  if (process.env.COMMONHV_BED !== undefined) return t.skip('this is the bed');
  const command = 'test -c /dev/kvm && seq 20000 && echo error >&2; sleep 1; exit 7';
  const { status, stdout, stderr } = bed('--timeout', '120', command);
  if (status === 3) return t.skip(String(skipUnless('bed', false, stderr.trim())));
  assert.equal(status, 7, stderr);
  assert.equal(stdout, Array.from({ length: 20_000 }, (_, i) => `${i + 1}\n`).join(''));
  assert.equal(stderr, 'error\n');

  const late = bed('--timeout', '10', 'echo begun; sleep 100');
  assert.deepEqual([late.status, late.stdout], [124, 'begun\n']);
  assert.equal(late.stderr, 'bed: not done after 10 s (--timeout)\n');

  const busy = bed('--cpu-seconds', '1', 'true'); // less than the boot takes
  assert.deepEqual(
    [busy.status, busy.stderr],
    [124, 'bed: not done after 1 s of processor time (--cpu-seconds)\n'],
  );
});

test('machines that are resumed from one go on from where it was saved, each for itself', (t) => {
  if (process.env.COMMONHV_BED !== undefined) return t.skip('this is the bed');
  const prepare =
    'echo written >of-the-project; (while :; do echo $((n += 1)) >/tmp/count; sleep 0.05; done) & sleep 0.5';
  const command = 'cat of-the-project; echo changed >of-the-project; sleep 0.5; cat /tmp/count; ls /tmp';
  const { status, stdout, stderr } = bed('--timeout', '120', '--prepare', prepare, '--copies', '2', command);
  if (status === 3) return t.skip(String(skipUnless('bed', false, stderr.trim())));
  assert.equal(status, 0, stderr);
  assert.match(stdout, /^(written\n\d+\ncount\n){2}$/);
});
