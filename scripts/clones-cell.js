// node scripts/clones-cell.js REMEDY: `commonhv clones` on copies of a stock Debian guest with one remedy. Prints the report; its
// last line is the row's note. Exit status 0 where the copies were compared, alike or not; 3 where something is missing here.
import { spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describeSources } from './matrix/lib/clones.js';

const root = fileURLToPath(new URL('..', import.meta.url));
process.chdir(root);

const AGENT = 'commonhv-agent --watch 2>/dev/null &\nsleep 2';
const DRIVER = 'insmod /lib/modules/commonhv.ko';
/** Faulty: each new generation is acknowledged by WRMSR, and nothing reseeds the kernel. MSR 400000A1H is the generation. */
const ACKNOWLEDGE = `while :; do
  dd if=/dev/cpu/0/msr of=/tmp/generation bs=8 count=1 iflag=skip_bytes skip=1073741985
  dd if=/tmp/generation of=/dev/cpu/0/msr bs=8 count=1 oflag=seek_bytes seek=1073741985 conv=notrunc
  sleep 0.1
done >/dev/null 2>&1 &`;
/** Faulty: bytes of the host's RNG, MSR 400000A0H, go into /dev/urandom, which mixes them and reseeds nothing. */
const WRITE_ONLY = `while :; do
  dd if=/dev/cpu/0/msr of=/dev/urandom bs=64 count=1 iflag=skip_bytes skip=1073741984
  sleep 0.1
done >/dev/null 2>&1 &`;
/** Past its second minute a kernel reseeds itself each 60 s (drivers/char/random.c): seen whole, with nothing else. */
const SETTLED = 'sleep 120';
/** What /etc/rc starts before the sampler, where the copies run, and for how many seconds each is recorded. */
const REMEDIES = {
  nothing: { on: 'v86', start: SETTLED, seconds: 65, more: ['--no-generation', '--no-rng'] },
  agent: { on: 'v86', start: AGENT },
  'driver-msr': { on: 'v86', start: DRIVER, more: ['--no-generation-page'] },
  'driver-page': { on: 'v86', start: DRIVER },
  qemu: { on: 'qemu', start: SETTLED, seconds: 65 },
  'qemu-vmgenid': { on: 'qemu', start: ':', device: ' -device vmgenid,guid=auto' },
  'qemu-vmgenid-6.12': { on: 'qemu', start: ':', device: ' -device vmgenid,guid=auto', kernel: '6.12' },
  acknowledges: { on: 'v86', start: ACKNOWLEDGE, finding: /acknowledged a reseed, .* a false report/ },
  'writes-only': { on: 'v86', start: WRITE_ONLY, finding: /^commonhv-msr differs .* nothing reseeded/ },
  // Before 5.18 a kernel reseeds only with 128 credited bits, and the agent credits none from a source that is not secure.
  'no-credit': {
    on: 'qemu',
    start: AGENT,
    plugin: 'secure=0',
    kernel: '5.10',
    finding: /^commonhv-msr differs .* nothing reseeded/,
  },
  'bed-kvm': { on: 'bed', start: AGENT, engine: true },
  // Without KVM's paravirtual features: docs/bed.md, "Limits": some interrupts arrive twice.
  'bed-kvm-vmgenid': { on: 'bed', start: ':', engine: true, more: ['--vmgenid'], append: ' nopv' },
  // A minute after boot a kernel reseeds itself each half minute. A second of the bed is several here.
  'bed-qemu': { on: 'bed', start: 'sleep 60' },
  'bed-preload': { on: 'bed', start: AGENT, preload: true },
};
const name = process.argv[2];
if (!Object.hasOwn(REMEDIES, name)) {
  console.error(`clones-cell: ${name}: expected ${Object.keys(REMEDIES).join(', ')}`);
  process.exit(2);
}
const remedy = REMEDIES[name];
const bed = remedy.on === 'bed';
const bits = bed || remedy.kernel !== undefined ? 64 : 32;
const folder = mkdtempSync(join(tmpdir(), 'commonhv-clones-cell-'));
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
/** Where it is while the copies run: the bed has the folder at another place. */
const path = (file) => (bed ? `.cache/cell/${file}` : join(folder, file));

function run(command, args) {
  const { status, stdout, stderr, error } = spawnSync(command, args, { encoding: 'utf8' });
  if (status === 0) return stdout.trim();
  console.error(`clones-cell: ${(stderr || error?.message || '').trim().split('\n').at(-1)}`);
  process.exit(status === 2 ? 2 : 3);
}

/** Kernel and initrd with the sampler and the remedy. */
function makeGuest() {
  run('make', ['-s', '-C', 'c/sampler', `OUT=${folder}`, `sampler${bits}`]);
  run('make', ['-s', '-C', 'c/agent', `OUT=${folder}`, `agent${bits}`]);
  if (remedy.plugin !== undefined) run('make', ['-s', '-C', 'c/qemu-plugin', `OUT=${folder}`]);
  const overlay = join(folder, 'overlay');
  mkdirSync(join(overlay, 'etc'), { recursive: true });
  writeFileSync(join(overlay, 'etc/rc'), `#!/bin/sh\n${remedy.start}\nexec commonhv-sampler\n`);
  chmodSync(join(overlay, 'etc/rc'), 0o755);
  const files = ['sampler', 'agent'].map((program) => [
    join(folder, `commonhv-${program}${bits}`),
    `/sbin/commonhv-${program}`,
  ]);
  if (remedy.start === DRIVER) {
    const built = run('sh', ['scripts/build-driver.sh', 'i386']).split(': ').at(-1);
    files.push([built, '/lib/modules/commonhv.ko']);
  }
  const adds = files.flatMap(([from, to]) => ['--add', `${from}=${to}`]);
  const series = remedy.kernel === undefined ? [] : ['--kernel', remedy.kernel];
  const architecture = bits === 64 ? ['--amd64', ...series] : [];
  run('sh', ['scripts/debian-guest.sh', ...architecture, '--output', folder, '--overlay', overlay, ...adds]);
}

const COMMAND_LINE = bed
  ? `console=ttyS0 quiet mitigations=off cryptomgr.notests tsc=reliable no_timer_check noxsave${remedy.append ?? ''}`
  : 'console=ttyS0 quiet';
const kernel = () => path(bits === 64 ? 'vmlinux' : 'vmlinuz');

/** QEMU's own commands, as a user of another VMM writes them: the monitor is a socket, the serial line the standard output. */
function qemuCommands() {
  const emulated = `qemu-system-${bits === 64 ? 'x86_64' : 'i386'} -accel tcg`;
  const program = bed ? 'qemu-system-x86_64 -accel kvm -cpu qemu64' : emulated;
  const preload = remedy.preload
    ? 'node dist/cli/bin.cjs preload --require --library c/preload/libcommonhv-preload.so -- '
    : '';
  const plugin = remedy.plugin === undefined ? '' : ` -plugin ${folder}/commonhv-plugin.so,${remedy.plugin}`;
  const start = (serial) =>
    `${preload}${program} -m ${remedy.kernel === undefined ? 128 : 256} -nodefaults -display none -no-reboot -kernel ${kernel()} -initrd ${path('initrd')} -append '${COMMAND_LINE}' -serial ${serial}${remedy.device ?? ''}${plugin}`;
  const saver = 'node scripts/qemu-save.js {state}.monitor {state} {state}.console & saver=$!';
  const first = start('file:{state}.console -monitor unix:{state}.monitor,server=on,wait=off');
  return {
    save: `${saver}; ${first}; wait $saver`,
    resume: `exec ${start('stdio -monitor none')} -incoming 'exec:cat {state}'`,
  };
}

function clonesCommand() {
  const words = ['node', 'dist/cli/bin.cjs', 'clones', '--format', 'json', '--copies', '3'];
  words.push('--seconds', String(remedy.seconds ?? 3), '--timeout', bed ? '900' : '400');
  if (remedy.on === 'v86' || remedy.engine) {
    const image = [kernel(), '--initrd', path('initrd'), '--append', COMMAND_LINE, '--memory', '128M'];
    return [...words, '--engine', bed ? 'kvm' : 'v86', ...(remedy.more ?? []), ...image];
  }
  const { save, resume } = qemuCommands();
  return [...words, '--save', save, '--resume', resume];
}

makeGuest();
const command = clonesCommand();
const inBed = [
  'node',
  'scripts/bed.js',
  ...['--timeout', '1500', '--add', `${folder}=.cache/cell`],
  ...command,
];
const [program, ...words] = bed ? inBed : command;
const { status, stdout, stderr } = spawnSync(program, words, { encoding: 'utf8', timeout: 1_700_000 });
process.stdout.write(stdout);
if (status !== 0 && status !== 1) {
  process.stderr.write(stderr);
  process.exit(status ?? 2);
}
const comparison = JSON.parse(stdout);
const { finding } = remedy;
if (finding === undefined) console.log(describeSources(comparison));
else {
  const found = comparison.findings.find((text) => finding.test(text));
  console.log(found ?? `not found: ${finding}`);
  process.exitCode = found === undefined ? 1 : 0;
}
