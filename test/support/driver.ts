/** commonhv.ko for a stock Debian kernel: built once by its script, and a guest with it inside. */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import type { Image } from 'commonhv';
import { debianGuest } from './debian-guest.ts';
import { skipUnless } from './require.ts';

/** The module's file for a kernel of `scripts/build-driver.sh`, or why it cannot be built here. Throws where the build fails. */
export function driverModule(
  architecture: 'i386' | 'amd64',
  series?: string,
): { skip: false; module: string } | { skip: string } {
  const args = series === undefined ? [architecture] : [architecture, series];
  const { status, stdout, stderr } = spawnSync('scripts/build-driver.sh', args, {
    encoding: 'utf8',
    timeout: 500_000,
  });
  const reason = stderr.trim().split('\n').at(-1) ?? '';
  if (status === 3) return { skip: skipUnless('driver', false, reason) as string };
  if (status !== 0) throw new Error(stderr);
  return { skip: false, module: stdout.trim().split(': ')[1]! };
}

/** The i386 guest with the module, the agent and the test's process inside, or why it cannot be had here; `name` is the test's own. */
export function driverGuest(name: string): { skip: false; image: Image } | { skip: string } {
  const built = driverModule('i386');
  if (built.skip !== false) return built;
  const OUT = `.cache/driver/${name}`;
  mkdirSync(OUT, { recursive: true });
  execFileSync('cc', [
    '-m32',
    '-O2',
    '-Wall',
    '-Wextra',
    '-Werror',
    '-static',
    '-s',
    '-o',
    `${OUT}/driver`,
    'test/support/driver.c',
  ]);
  execFileSync('make', ['-s', '-C', 'c/agent', `OUT=${process.cwd()}/${OUT}`, 'agent32']);
  const files = {
    [built.module]: '/lib/modules/commonhv.ko',
    [`${OUT}/driver`]: '/sbin/driver',
    [`${OUT}/commonhv-agent32`]: '/sbin/commonhv-agent',
  };
  return debianGuest([
    '--output',
    OUT,
    ...Object.entries(files).flatMap(([from, to]) => ['--add', `${from}=${to}`]),
  ]);
}
