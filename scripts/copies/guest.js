// The stock 64-bit Debian guest whose copies are compared: sampler, agent, driver, and programs with generators of their own.
import { spawnSync } from 'node:child_process';
import { chmodSync, copyFileSync, cpSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { copyProgram, root } from '../bed/image.js';

/** What /etc/rc starts before the sampler, by the word `remedy=` of the kernel's command line. */
const REMEDIES = {
  bare: ':',
  agent: 'commonhv-agent --watch 2>/dev/null &\nsleep 2',
  'driver-msr': 'insmod /lib/modules/commonhv.ko',
  'driver-page': 'insmod /lib/modules/commonhv.ko',
};
export const remedies = Object.keys(REMEDIES);

/** Runs a tool; ends this process where it fails, with status 3 where something is missing on this machine. */
export function run(command, args) {
  const { status, stdout, stderr, error } = spawnSync(command, args, { encoding: 'utf8', cwd: root });
  if (status === 0) return stdout.trim();
  console.error(`copies: ${(stderr || error?.message || '').trim().split('\n').at(-1)}`);
  process.exit(status === 3 || error !== undefined ? 3 : 2);
}

function put(folder, path, text) {
  mkdirSync(dirname(join(folder, path)), { recursive: true });
  writeFileSync(join(folder, path), text);
  chmodSync(join(folder, path), 0o755);
}

/** This machine's Node, and this package as a program in the guest has it. */
export function addNode(overlay) {
  copyProgram(process.execPath, overlay, '/bin/node');
  const modules = join(overlay, 'opt/node_modules');
  const link = (name) => cpSync(join(root, 'node_modules', name), join(modules, name), { recursive: true });
  for (const name of ['koffi', '@koromix/koffi-linux-x64', '@noble/hashes']) link(name);
  cpSync(join(root, 'dist'), join(modules, 'commonhv/dist'), { recursive: true });
  copyFileSync(join(root, 'package.json'), join(modules, 'commonhv/package.json'));
}

/**
 * Makes vmlinux and initrd in `folder`. `programs`: a name for each, and a shell command that prints a value for each line of its
 * standard input, as the sampler's --run has it. `fill` lays more files into the guest.
 */
export function makeGuest(folder, programs, fill) {
  const overlay = join(folder, 'overlay');
  rmSync(overlay, { recursive: true, force: true });
  mkdirSync(overlay, { recursive: true });
  run('make', ['-s', '-C', 'c/sampler', `OUT=${resolve(folder)}`, 'sampler64']);
  run('make', ['-s', '-C', 'c/agent', `OUT=${resolve(folder)}`, 'agent64']);
  fill?.(overlay);
  const cases = Object.entries(REMEDIES).map(([name, start]) => `  ${name})\n${start} ;;`);
  const runs = Object.keys(programs).map((name) => `--run ${name}=/opt/run/${name}`);
  for (const [name, command] of Object.entries(programs))
    put(overlay, `opt/run/${name}`, `#!/bin/sh\n${command}\n`);
  put(
    overlay,
    'etc/rc',
    `#!/bin/sh
for word in $(cat /proc/cmdline); do case $word in remedy=*) remedy=\${word#*=} ;; esac; done
export HOME=/ PATH=/usr/bin:/usr/sbin:$PATH
case $remedy in
${cases.join('\n')}
esac
exec commonhv-sampler ${runs.join(' ')}
`,
  );
  const module = run('sh', ['scripts/build-driver.sh', 'amd64']).split(': ').at(-1);
  const added = {
    [join(folder, 'commonhv-sampler64')]: '/sbin/commonhv-sampler',
    [join(folder, 'commonhv-agent64')]: '/sbin/commonhv-agent',
    [module]: '/lib/modules/commonhv.ko',
  };
  const adds = Object.entries(added).flatMap(([from, to]) => ['--add', `${from}=${to}`]);
  run('sh', ['scripts/debian-guest.sh', '--amd64', '--output', folder, '--overlay', overlay, ...adds]);
}
