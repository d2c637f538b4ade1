/** `agent`: the C agent in a stock Debian guest on v86: its cost, and how soon it mends a copy. */
import { execFileSync } from 'node:child_process';
import type { Layer, Machine } from 'commonhv';
import { v86 } from 'commonhv/engines/v86';
import { commonhv, systemGeneration, systemSource } from 'commonhv/hypervisor';
import { debianGuest, type Shell, shellOf } from '../test/debian-guest.ts';
import { type Figure, median } from './figure.ts';

const OUT = '.cache/agent';
const RUNS = 20;
const WATCHED = 10; // seconds
const WINDOWS = 5;
const COPIES = 21;

const engine = v86({ memory: 128 * 2 ** 20 });
const good = commonhv({ rng: { source: systemSource() }, generation: { next: systemGeneration() } });
/** When the guest last asked for CommonHV: the first thing that the agent does. */
let asked = 0;
const layer: Layer = (below) => {
  const right = good(below);
  return {
    ...right,
    cpuid(leaf, subleaf) {
      if (leaf === 0x4f00_0000) asked = performance.now();
      return right.cpuid(leaf, subleaf);
    },
  };
};

export async function bench(): Promise<readonly Figure[]> {
  execFileSync('make', ['-s', '-C', 'agent', `OUT=../${OUT}`, 'agent32']);
  const add = ['--output', OUT, '--add', `${OUT}/commonhv-agent32=/sbin/commonhv-agent`];
  const made = debianGuest(add);
  if (made.skip !== false) throw new Error(made.skip);
  const machine = await engine.start(layer, made.image);
  const shell = await shellOf(machine);
  try {
    return [...(await cost(shell)), ...(await watching(shell)), ...(await copies(machine, shell))];
  } finally {
    await machine.close();
  }
}

/** What the agent costs its guest. What the host does meanwhile only adds to it, so the fastest runs count. */
async function cost(shell: Shell): Promise<readonly Figure[]> {
  const seeded: number[] = [];
  for (let i = 0; i < RUNS; i++) {
    await shell.type('commonhv-agent\n');
    await shell.until('credited 512');
    seeded.push(performance.now() - asked);
    await shell.run('true');
  }
  const ticks = async () => {
    const fields = (await shell.run('cat /proc/$$/stat')).split(' ');
    return 10 * (Number(fields[15]) + Number(fields[16])); // cutime and cstime, in hundredths of a second
  };
  const each = async (command: string) => {
    const taken: number[] = [];
    for (let i = 0; i < 5; i++) {
      const before = await ticks();
      await shell.run(`for i in $(seq ${RUNS}); do ${command} 2>/dev/null; done`);
      taken.push(((await ticks()) - before) / RUNS);
    }
    return Math.min(...taken);
  };
  return [
    { name: 'from its first CPUID to seeded, fastest', value: Math.min(...seeded), unit: 'ms', most: 5 },
    { name: 'the same, median', value: median(seeded), unit: 'ms' },
    { name: 'processor time in the guest, whole process', value: await each('commonhv-agent'), unit: 'ms' },
    { name: 'that of busybox true, beside it', value: await each('/bin/busybox true'), unit: 'ms' },
  ];
}

/** What the watch costs: by the guest's clock, which counts the host's pauses as the guest's work, and by the host's. */
async function watching(shell: Shell): Promise<readonly Figure[]> {
  const host: number[] = [];
  const inGuest: number[] = [];
  let rss = 0;
  for (let i = 0; i < WINDOWS; i++) {
    const idle = await hostShare();
    await shell.run('commonhv-agent --watch 2>/dev/null & sleep 1; P=$(pidof commonhv-agent)');
    rss = Number(/\d+/.exec(await shell.run('grep VmRSS /proc/$P/status')));
    const ran = async () => Number((await shell.run('cat /proc/$P/schedstat')).split(' ')[0]);
    const before = await ran();
    const start = performance.now();
    host.push((await hostShare()) - idle);
    inGuest.push(((await ran()) - before) / (performance.now() - start) / 1e4);
    await shell.run('kill $P');
  }
  return [
    { name: 'memory of the watch (VmRSS)', value: rss, unit: 'KiB', most: 1024 },
    { name: 'what the watch adds to the host’s processor time', value: median(host), unit: '%', most: 0.1 },
    { name: 'processor time of the watch by the guest’s clock', value: Math.min(...inGuest), unit: '%' },
  ];
}

/** How much of a processor this process takes while the guest is left alone. */
async function hostShare(): Promise<number> {
  const before = process.cpuUsage();
  const start = performance.now();
  await new Promise((resolve) => setTimeout(resolve, WATCHED * 1000));
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 10 / (performance.now() - start);
}

/** Copies of states that were saved at different points of the watch's sleep. */
async function copies(machine: Machine, shell: Shell): Promise<readonly Figure[]> {
  await shell.run('commonhv-agent --watch 2>/dev/ttyS0 &');
  await shell.until('credited 512');
  const noticed: number[] = [];
  for (let i = 0; i < COPIES; i++) {
    await new Promise((resolve) => setTimeout(resolve, 100 + 13 * i));
    const state = await machine.save!();
    const copy = await engine.resume(layer, state);
    const start = performance.now();
    const its = await shellOf(copy, true);
    await its.until('resumed from a saved state', 60_000);
    await its.until('credited', 60_000);
    noticed.push(performance.now() - start);
    await copy.close();
  }
  return [
    { name: 'a copy is reseeded after (median)', value: median(noticed), unit: 'ms', most: 100 },
    { name: 'a copy is reseeded after (slowest)', value: Math.max(...noticed), unit: 'ms' },
  ];
}
