// node scripts/clones-cell.js REMEDY: `commonhv clones` on copies of a stock Debian guest with one remedy. Prints the report; its
// last line is the result. Exit status 0 where the copies were compared, alike or not; 3 where something is missing here.
//   nothing, agent, driver-msr, driver-page    i386 in v86
//   qemu, qemu-vmgenid                         i386 under QEMU's TCG, saved and resumed by migration to a file
import { spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
process.chdir(root);
const remedy = process.argv[2];
const folder = mkdtempSync(join(tmpdir(), 'commonhv-clones-cell-'));
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
const path = (name) => join(folder, name);

/** What /etc/rc of the guest starts before the sampler. */
const STARTS = {
  nothing: ':',
  agent: 'commonhv-agent --watch 2>/dev/null &\nsleep 2',
  'driver-msr': 'insmod /lib/modules/commonhv.ko',
  'driver-page': 'insmod /lib/modules/commonhv.ko',
  qemu: ':',
  'qemu-vmgenid': ':',
};
if (!Object.hasOwn(STARTS, remedy)) {
  console.error(`clones-cell: ${remedy}: expected ${Object.keys(STARTS).join(', ')}`);
  process.exit(2);
}

function run(command, args) {
  const { status, stdout, stderr, error } = spawnSync(command, args, { encoding: 'utf8' });
  if (status === 0) return stdout.trim();
  console.error(`clones-cell: ${(stderr || error?.message || '').trim().split('\n').at(-1)}`);
  process.exit(status === 2 ? 2 : 3);
}

/** Kernel and initrd, with the sampler, and what the remedy needs. */
function guest() {
  run('make', ['-s', '-C', 'c/sampler', `OUT=${folder}`, 'sampler32']);
  run('make', ['-s', '-C', 'c/agent', `OUT=${folder}`, 'agent32']);
  mkdirSync(path('overlay/etc'), { recursive: true });
  writeFileSync(path('overlay/etc/rc'), `#!/bin/sh\n${STARTS[remedy]}\nexec commonhv-sampler\n`);
  chmodSync(path('overlay/etc/rc'), 0o755);
  const adds = ['commonhv-sampler32=/sbin/commonhv-sampler', 'commonhv-agent32=/sbin/commonhv-agent'].flatMap(
    (add) => ['--add', path(add)],
  );
  if (remedy.startsWith('driver')) {
    const built = run('sh', ['scripts/build-driver.sh', 'i386']).split(': ').at(-1);
    adds.push('--add', `${built}=/lib/modules/commonhv.ko`);
  }
  run('sh', ['scripts/debian-guest.sh', '--output', folder, '--overlay', path('overlay'), ...adds]);
}

/** A shell command for QEMU; its monitor is a socket, its serial line standard output. */
function qemu(more) {
  const vmgenid = remedy === 'qemu-vmgenid' ? ' -device vmgenid,guid=auto' : '';
  return `exec qemu-system-i386 -accel tcg -m 128 -nodefaults -display none -no-reboot -kernel ${path('vmlinuz')} -initrd ${path('initrd')} -append 'console=ttyS0 quiet' -serial ${more}${vmgenid}`;
}

guest();
const words = ['dist/cli/bin.cjs', 'clones', '--copies', '3', '--seconds', '3', '--timeout', '240'];
if (remedy.startsWith('qemu')) {
  const monitor = path('monitor');
  // Started, and saved when the sampler has printed; the monitor is spoken to through socat's place in Node.
  const save = `node scripts/qemu-save.js ${monitor} {state} ${path('first')} & saver=$!; ${qemu(`file:${path('first')} -monitor unix:${monitor},server=on,wait=off`).replace('exec ', '')}; wait $saver`;
  words.push('--save', save, '--resume', `${qemu('stdio -monitor none')} -incoming 'exec:cat {state}'`);
} else {
  if (remedy === 'driver-msr') words.push('--no-generation-page');
  words.push(
    path('vmlinuz'),
    '--initrd',
    path('initrd'),
    '--append',
    'console=ttyS0 quiet',
    '--memory',
    '128M',
  );
}
const { status, stdout, stderr } = spawnSync(process.execPath, words, { encoding: 'utf8', timeout: 600_000 });
process.stdout.write(stdout);
process.stderr.write(stderr);
process.exit(status === 1 ? 0 : (status ?? 2));
