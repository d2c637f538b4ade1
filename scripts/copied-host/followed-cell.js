// node scripts/copied-host/followed-cell.js [REMEDY]...: a stock 64-bit Debian under QEMU's TCG with the plugin, and in it a layer, beside the driver,
// the agent, or nothing. The machine is saved, and restored twice: with driver or agent the layer renews its generation and its guest's page
// by itself, and no random value and no generation is in both copies. The last line is the row's note. Exit status 0, 1 where that is not
// so, 3 where something is missing on this machine.
import { cpSync, mkdirSync, rmSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { addNode, run } from '../copies/guest.js';

const NEW = '/tmp/seen';
const PLATFORM = '/sys/devices/platform/commonhv';
/** How each is started, and a command that prints another text once the kernel was reseeded after a restore. */
const REMEDIES = {
  driver: {
    start: 'insmod /lib/modules/commonhv.ko; until driver read; do sleep 0.2; done',
    seen: `cat ${PLATFORM}/reseeded`,
  },
  agent: {
    start:
      '(commonhv-agent --watch >/tmp/agent 2>&1 &); until test -s /run/commonhv/generation; do sleep 0.2; done',
    seen: 'od -A n -t x4 /run/commonhv/generation',
  },
  nothing: { start: ':', seen: undefined },
};
const LAYER = '/tmp/layer';
const wanted = process.argv.slice(2);
const unknown = wanted.find((name) => !Object.hasOwn(REMEDIES, name));
if (unknown !== undefined) {
  console.error(`followed-cell: ${unknown}: expected ${Object.keys(REMEDIES).join(', ')}`);
  process.exit(2);
}
const names = wanted.length > 0 ? wanted : Object.keys(REMEDIES);
/** One for each, so that they can run side by side. */
const FOLDER = join('.cache/copied-host', names.join('-'));
/** Minutes pass between these. */
const progress = (text) => console.error(`followed-cell: ${text}`);

process.chdir(new URL('../..', import.meta.url).pathname);
const { skip, startDebian, COMMAND_LINE } = await import('../../build/test/support/qemu-debian.js');
const { driverModule } = await import('../../build/test/support/driver.js');
const built = driverModule('amd64');
const missing = [skip, built.skip].find((reason) => reason !== false);
if (missing !== undefined) {
  console.error(`followed-cell: ${missing}`);
  process.exit(3);
}

function makeGuest() {
  const overlay = join(FOLDER, 'overlay');
  rmSync(overlay, { recursive: true, force: true });
  mkdirSync(join(overlay, 'sbin'), { recursive: true });
  addNode(overlay);
  cpSync('scripts/copied-host/follower.js', join(overlay, 'opt/follower.js'));
  run('make', ['-s', '-C', 'c/agent', `OUT=${resolve(FOLDER)}`, 'agent64']);
  run('cc', ['-O2', '-static', '-s', '-o', join(FOLDER, 'driver'), 'test/support/driver.c']);
  const added = {
    [built.module]: '/lib/modules/commonhv.ko',
    [join(FOLDER, 'driver')]: '/sbin/driver',
    [join(FOLDER, 'commonhv-agent64')]: '/sbin/commonhv-agent',
  };
  const adds = Object.entries(added).flatMap(([from, to]) => ['--add', `${from}=${to}`]);
  run('sh', ['scripts/debian-guest.sh', '--amd64', '--output', FOLDER, '--overlay', overlay, ...adds]);
}

/** A command that waits for another one to succeed, 60 s at most. */
const until = (command) => `n=0; until ${command} || test $((n += 1)) -gt 300; do sleep 0.2; done`;

/** The layer's results in two copies. */
async function copies({ qemu, shell }, name) {
  const { start, seen } = REMEDIES[name];
  await qemu.monitor('loadvm clean');
  await shell.run(`mkdir -p ${LAYER} /run; ${start}`);
  await shell.run(`cd /opt; (node follower.js ${LAYER} >${LAYER}/output 2>&1 </dev/null &)`);
  await shell.run(until(`test -e ${LAYER}/ready`));
  if (seen !== undefined) await shell.run(`${seen} >${NEW}`);
  progress(`${name}: the layer runs`);
  await qemu.monitor('savevm saved');
  const results = [];
  for (let copy = 0; copy < 2; copy++) {
    await qemu.monitor('loadvm saved');
    if (seen !== undefined) await shell.run(until(`test "$(${seen})" != "$(cat ${NEW})"`));
    await shell.run(`touch ${LAYER}/go; ${until(`test -e ${LAYER}/result`)}`);
    const said = await shell.run(`cat ${LAYER}/output ${LAYER}/result`);
    progress(`${name}: copy ${copy + 1}`);
    results.push(JSON.parse(said.trim().split('\n').at(-1)));
  }
  return results;
}

/** The row's text, and whether it is as it should be. */
function compared(name, [one, other]) {
  const shared = one.values.filter((value) => other.values.includes(value)).length;
  const generations = new Set([one.before, one.after, other.after]).size;
  const pages = [one, other].every(({ page, after, renewed }) => page === after && renewed === 1);
  const renewed = `${generations} generations of 3, pages ${pages ? 'renewed' : 'not renewed'}`;
  // A kernel that nobody told goes on as in the other copy until interrupts have seeded it anew: values may be shared, or not.
  const right = name === 'nothing' ? generations === 1 : shared === 0 && generations === 3 && pages;
  return { right, text: `${name}: ${shared} of ${one.values.length} values shared, ${renewed}` };
}

makeGuest();
const machine = await startDebian(FOLDER, {
  memory: 1024,
  commandLine: COMMAND_LINE,
  options: ['-cpu', 'qemu64,+ssse3,+sse4.1,+sse4.2,+popcnt'],
});
try {
  // Seeded: without that no reseed can be forced.
  await machine.shell.run('echo 1 >/proc/sys/kernel/printk; head -c 1 /dev/random >/dev/null');
  await machine.qemu.monitor('savevm clean');
  progress('booted');
  const results = [];
  for (const name of names) results.push(compared(name, await copies(machine, name)));
  console.log(results.map(({ text }) => text).join('; '));
  if (!results.every(({ right }) => right)) process.exitCode = 1;
} finally {
  await machine.close();
}
