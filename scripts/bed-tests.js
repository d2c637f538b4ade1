// node scripts/bed-tests.js [OPTION OF THE BED]... [PART]...: runs the tests that run guests on KVM in the KVM bed, all of
// them or those whose file name contains a PART. The bed has one processor, so that there are several beds at once, each
// with a part of the files. The output of each is printed whole, one after the other; the last lines add up the summaries.
// Stock Linux guests come first, in a bed that has the machine for itself: QEMU delivers some interrupts twice, more often where
// it is short of processor time, and a guest that waits for ever for that is given up and run again (docs/bed.md).
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { bedImage, Missing, programPath, root } from './bed/image.js';
import { kvmTests } from './kvm-tests.js';

const SECONDS_EACH = '1700';
const MAX_BEDS = 4;
/** Of one bed: its memory of 2 GiB, the code that QEMU makes, and the disk that it reads. */
const BED_KIB = 3 * 2 ** 20;
/** Seconds of QEMU's processor time, by which the files are distributed. A file that is not named counts as USUAL. */
const SECONDS = {
  ...{ 'kvm-cli': 380, 'kvm-state': 100, 'kvm-page': 80, 'kvm-faulty-page': 70, 'kvm-state-faults': 65 },
  ...{ 'run-states': 60, 'kvm-ends': 50, 'kvm-lifetime': 40, kvm: 40, 'driver-preload': 2 },
};
const USUAL = 20;
const LINUX = ['kvm-debian', 'kvm-linux', 'kvm-vmgenid-linux'];
const LINUX_OPTIONS = ['--cpu-seconds=300'];
const LINUX_ATTEMPTS = 3;
const OUT_OF_TIME = 124;
const COUNTS = ['tests', 'pass', 'fail', 'cancelled', 'skipped', 'todo'];

const args = process.argv.slice(2);
const options = args.filter((arg) => arg.startsWith('-'));
const parts = args.filter((arg) => !arg.startsWith('-'));
const files = kvmTests().filter((name) => parts.length === 0 || parts.some((part) => name.includes(part)));
if (files.length === 0) {
  console.error(`no test that runs guests on KVM matches ${parts.join(' ')}`);
  process.exit(2);
}

/** As many beds as there are processors for, and memory. */
function bedsAtOnce() {
  const [, available] = /^MemAvailable: +(\d+) kB$/m.exec(readFileSync('/proc/meminfo', 'latin1')) ?? [];
  const fit = Math.floor(Number(available ?? 0) / BED_KIB);
  return Math.max(1, Math.min(MAX_BEDS, availableParallelism(), fit));
}

/** The files in `count` groups of about the same time: the longest first, each into the group that has least. */
function groups(names, count) {
  const seconds = (name) => SECONDS[name] ?? USUAL;
  const made = Array.from({ length: count }, () => ({ names: [], seconds: 0 }));
  for (const name of names.toSorted((a, b) => seconds(b) - seconds(a))) {
    const least = made.reduce((a, b) => (b.seconds < a.seconds ? b : a));
    least.names.push(name);
    least.seconds += seconds(name);
  }
  return made.map(({ names }) => names).filter((names) => names.length > 0);
}

/** A bed that runs these files. Its output is kept until somebody reads it: a full pipe would hold the guest. */
function startBed(names, more = []) {
  const command = [
    'node',
    'scripts/test.js',
    '--kvm',
    '--serial',
    ...names.map((name) => `/${name}.test.js`),
  ];
  const bed = [
    join(root, 'scripts/bed.js'),
    '--verbose',
    '--timeout',
    SECONDS_EACH,
    ...more,
    ...options,
    ...command,
  ];
  const child = spawn(process.execPath, bed, { stdio: ['ignore', 'pipe', 'pipe'] });
  const output = new PassThrough({ highWaterMark: 2 ** 30 });
  output.write(`bed: ${names.join(' ')}\n`);
  const started = { output, text: '', status: 2 };
  for (const stream of [child.stdout, child.stderr]) {
    stream.pipe(output, { end: false });
    stream.setEncoding('utf8').on('data', (chunk) => {
      started.text += chunk;
    });
  }
  running.add(child);
  child.on('close', (status) => {
    running.delete(child);
    started.status = status ?? 2;
    output.end();
  });
  return started;
}

/** A number of the last summary in a text: `# tests 7` as TAP, `ℹ tests 7` as `spec`. */
const counted = (text, what) =>
  Number([...text.matchAll(new RegExp(`^(?:#|ℹ) ${what} (\\d+)$`, 'gm'))].at(-1)?.[1] ?? 0);

const begun = performance.now();
try {
  // Made before the beds need it, so that they do not make it at once.
  bedImage(options.includes('--full') ? 'full' : 'cloud', programPath('qemu-system-x86_64'));
} catch (error) {
  console.error(`bed: ${error.message}`);
  process.exit(error instanceof Missing ? 3 : 2);
}
const running = new Set();
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
  process.on(signal, () => {
    for (const child of running) child.kill(signal);
  });
}

async function show(bed) {
  bed.output.pipe(process.stdout, { end: false });
  await once(bed.output, 'end');
  return bed;
}

async function runLinux(names) {
  for (let attempt = 1; ; attempt++) {
    const bed = await show(startBed(names, LINUX_OPTIONS));
    if (bed.status !== OUT_OF_TIME || attempt === LINUX_ATTEMPTS) return bed;
    console.log(`# a guest does not go on: run again (${attempt} of ${LINUX_ATTEMPTS} attempts)`);
  }
}

const linux = files.filter((name) => LINUX.includes(name));
const others = files.filter((name) => !LINUX.includes(name));
const beds = linux.length > 0 ? [await runLinux(linux)] : [];
const atOnce = groups(others, bedsAtOnce()).map((names) => startBed(names));
for (const bed of atOnce) beds.push(await show(bed));
const minutes = ((performance.now() - begun) / 60_000).toFixed(1);
console.log(`# ${beds.length} beds, ${atOnce.length} of them at once: ${minutes} min`);
for (const what of COUNTS)
  console.log(`# ${what} ${beds.reduce((sum, { text }) => sum + counted(text, what), 0)}`);
process.exitCode = Math.max(...beds.map(({ status }) => status));
