/** commonhv.ko for a stock Debian kernel: built once by its script, and a guest with it inside. */
import { execFileSync, spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { basename, resolve } from 'node:path';
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

/** A module of one C file, built against the headers of the driver's kernel; its path. */
export function testModule(architecture: 'i386' | 'amd64', source: string): string {
  const name = basename(source, '.c');
  const folder = resolve(`.cache/driver/${name}`);
  const headers = execFileSync('scripts/debian-headers.sh', [architecture], { encoding: 'utf8' });
  mkdirSync(folder, { recursive: true });
  copyFileSync(source, `${folder}/${name}.c`);
  writeFileSync(`${folder}/Kbuild`, `obj-m := ${name}.o\n`);
  const make = ['-s', '-C', headers.trim().split(': ')[1]!, `M=${folder}`, 'CONFIG_DEBUG_INFO_BTF_MODULES='];
  execFileSync('make', [...make, 'modules'], { stdio: ['ignore', 'pipe', 'pipe'] });
  execFileSync('strip', ['--strip-debug', `${folder}/${name}.ko`]);
  return `${folder}/${name}.ko`;
}

/**
 * The guest with the module, the agent, the test's process and `more` files inside, or why it cannot be had here; `name` is the
 * test's own.
 */
export function driverGuest(
  name: string,
  architecture: 'i386' | 'amd64' = 'i386',
  more: () => Readonly<Record<string, string>> = () => ({}),
): { skip: false; image: Image; folder: string } | { skip: string } {
  const built = driverModule(architecture);
  if (built.skip !== false) return built;
  const OUT = `.cache/driver/${name}`;
  const bits = architecture === 'i386' ? 32 : 64;
  mkdirSync(OUT, { recursive: true });
  const flags = [`-m${bits}`, '-O2', '-Wall', '-Wextra', '-Werror', '-static', '-s'];
  execFileSync('cc', [...flags, '-o', `${OUT}/driver`, 'test/support/driver.c']);
  execFileSync('make', ['-s', '-C', 'c/agent', `OUT=${resolve(OUT)}`, `agent${bits}`]);
  const files = {
    [built.module]: '/lib/modules/commonhv.ko',
    [`${OUT}/driver`]: '/sbin/driver',
    [`${OUT}/commonhv-agent${bits}`]: '/sbin/commonhv-agent',
    ...more(),
  };
  const guest = debianGuest([
    ...(architecture === 'amd64' ? ['--amd64'] : []),
    ...['--output', OUT],
    ...Object.entries(files).flatMap(([from, to]) => ['--add', `${from}=${to}`]),
  ]);
  return guest.skip === false ? { ...guest, folder: OUT } : guest;
}
