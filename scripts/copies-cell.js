// node scripts/copies-cell.js REMEDY: three copies of a stock 64-bit Debian guest under the KVM engine, in the bed: for how long
// kernel and processes are alike in two copies, and the acknowledgements that the host saw. The last line is the result as JSON.
// REMEDY: bare, agent, driver-msr, driver-page. `--here` runs it on this machine's /dev/kvm; `--inside` is the part that runs in the bed.
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { addNode, makeGuest, remedies } from './copies/guest.js';
import { alikeTimes } from './matrix/lib/clones.js';

const FOLDER = '.cache/copies';
const COPIES = 3;
const MEMORY = 640 * 2 ** 20;
const BOOT_MS = 500_000;
/** Samples of each copy, and the time for them: a line takes some 70 ms of the bed. */
const SAMPLES = 30;
const RECORD_MS = 200_000;
const ID = `process.stdin.on('data', () => console.log(crypto.randomUUID()))`;

const [remedy, where] = process.argv.slice(2);
process.chdir(new URL('..', import.meta.url).pathname);
if (!remedies.includes(remedy)) {
  console.error(`copies-cell: ${remedy}: expected ${remedies.join(', ')}`);
  process.exit(2);
}

/** The first machine until it samples everything, then its copies; resolves with the recordings and acknowledgements. */
async function record() {
  const { kvm } = await import('commonhv/engines/kvm');
  const { fromConfig } = await import('commonhv/hypervisor');
  const { SampleReader } = await import('commonhv/clones');
  const config = { rng: { source: 'os' }, generation: { page: remedy === 'driver-page' } };
  const image = {
    kernel: readFileSync(`${FOLDER}/vmlinux`),
    initrd: readFileSync(`${FOLDER}/initrd`),
    commandLine: `console=ttyS0 quiet mitigations=off cryptomgr.notests tsc=reliable no_timer_check noxsave remedy=${remedy}`,
  };
  const state = join(tmpdir(), 'copies.state');
  const first = await kvm({ memory: MEMORY }).start(fromConfig(config), image);
  await follow(first, new SampleReader('first'), / restored=/, 3, BOOT_MS);
  await first.saveFile(state);
  await first.close();
  const recordings = [];
  const acknowledged = [];
  for (let copy = 1; copy <= COPIES; copy++) {
    const heard = [];
    const machine = await kvm().resumeFile(
      fromConfig(config, (event) => event.kind === 'acknowledged' && heard.push(event.milliseconds)),
      state,
    );
    const reader = new SampleReader(`copy ${copy}`);
    await follow(machine, reader, /./, SAMPLES, RECORD_MS);
    await machine.close();
    recordings.push(reader.recording());
    acknowledged.push(heard);
  }
  return { recordings, acknowledged };
}

/** Reads the console until `count` samples came whose line has `pattern`. */
async function follow(machine, reader, pattern, count, milliseconds) {
  const decoder = new TextDecoder('latin1');
  let seen = 0;
  let rest = '';
  let timer;
  const expired = new Promise((_, reject) => {
    timer = setTimeout(
      () => reject(new Error(`${seen} of ${count} samples in time: ${rest.slice(-300)}`)),
      milliseconds,
    );
  });
  const ended = machine.ended.then(({ reason, detail }) => {
    throw new Error(`the guest ended: ${detail ?? reason}`);
  });
  const failed = Promise.race([expired, ended]);
  failed.catch(() => {});
  const lines = machine.console.readable.getReader();
  while (seen < count) {
    const { value, done } = await Promise.race([lines.read(), failed]);
    if (done) throw new Error('the console ended');
    reader.feed(value);
    const parts = (rest + decoder.decode(value, { stream: true })).split('\n');
    rest = parts.pop();
    seen += parts.filter((line) => line.includes('commonhv-sample 1 ') && pattern.test(line)).length;
  }
  clearTimeout(timer);
  lines.releaseLock();
}

async function inside() {
  const { recordings, acknowledged } = await record();
  const { compare, textReport } = await import('commonhv/clones');
  const comparison = compare(recordings);
  console.log(textReport(comparison));
  const times = alikeTimes(comparison, ['getrandom', 'follow', 'node', 'restored']);
  console.log(JSON.stringify({ ...times, acknowledged: acknowledged.map((heard) => heard.length) }));
}

if (where === '--inside') {
  await inside();
  process.exit(0);
}
makeGuest(
  FOLDER,
  {
    node: `cd /opt && exec node -e "${ID}"`,
    restored: `cd /opt && exec node --import commonhv/restored/auto -e "${ID}"`,
  },
  addNode,
);
const files = ['vmlinux', 'initrd'].flatMap((name) => ['--add', `${FOLDER}/${name}=${FOLDER}/${name}`]);
const command = ['node', 'scripts/copies-cell.js', remedy, '--inside'];
const { status } =
  where === '--here'
    ? spawnSync(process.execPath, command.slice(1), { stdio: 'inherit' })
    : spawnSync(
        process.execPath,
        ['scripts/bed.js', '--timeout', '1500', '--memory', '4096', ...files, ...command],
        { stdio: 'inherit' },
      );
process.exit(status ?? 2);
