/** The example for the CI of another project, as it is copied: real QEMU, saved and resumed by the user's own commands. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { after, test } from 'node:test';
import { debianGuest } from './support/debian-guest.ts';
import { skipUnless } from './support/require.ts';
import { scaled } from './support/time.ts';

const work = mkdtempSync(join(tmpdir(), 'commonhv-clones-ci-'));
after(() => rmSync(work, { recursive: true, force: true }));
const QEMU = 'qemu-system-i386';
const skip =
  debianGuest().skip ||
  skipUnless('qemu', spawnSync(QEMU, ['--version']).status === 0, `${QEMU} is not installed`);
const limit = { timeout: scaled(200_000), skip };

function check(variables: Readonly<Record<string, string>>): ReturnType<typeof spawnSync> {
  if (!existsSync(join(work, 'clones-ci')))
    cpSync('examples/clones-ci', join(work, 'clones-ci'), { recursive: true });
  return spawnSync(join(work, 'clones-ci/check.sh'), {
    cwd: work,
    encoding: 'utf8',
    timeout: scaled(180_000),
    env: {
      ...process.env,
      COMMONHV: `${process.execPath} ${resolve('dist/cli/bin.cjs')}`,
      COPIES: '2',
      KERNEL: resolve('.cache/debian/vmlinuz'),
      ...variables,
    },
  });
}

// The kernel is told by an interrupt, so a few samples may be alike.
test('with VMGenID the copies of a QEMU differ within a window, and the JUnit file says so', limit, () => {
  const { status, stdout, stderr } = check({ QEMU_OPTIONS: '-device vmgenid,guid=auto', WINDOW: '2000' });
  assert.equal(status, 0, `${stdout}${stderr}`);
  assert.match(String(stdout), /\ncopies differ (from their first sample|within the allowed window)\n$/);
  const junit = readFileSync(join(work, 'clones.xml'), 'utf8');
  assert.match(junit, /<testsuites name="commonhv clones" tests="\d" failures="0" errors="0">/);
  assert.deepEqual(readdirSync(work).sort(), [
    'clones-ci',
    'clones.xml',
    'console-1.log',
    'console-2.log',
    'sampler.cpio',
  ]);
});

test('a kernel that is not there is one line with its cause, exit 2, nothing left running', limit, () => {
  const { status, stderr } = check({ KERNEL: '/nowhere/vmlinuz' });
  assert.equal(status, 2);
  assert.match(String(stderr), /^commonhv: --save: the command ended with status 1: .*\/nowhere\/vmlinuz/);
});
