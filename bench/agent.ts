/** `agent`: the C agent in a stock Debian guest on v86: its cost, and how soon it mends a copy. */
import { execFileSync } from 'node:child_process';
import type { Machine } from 'commonhv';
import { v86 } from 'commonhv/engines/v86';
import { commonhv, systemGeneration, systemSource } from 'commonhv/hypervisor';
import { debianGuest, type Shell, shellOf } from '../test/support/debian-guest.ts';
import { type Figure, median } from './figure.ts';

const OUT = '.cache/agent';
const RUNS = 60;
const WATCHERS = 20;
const WATCHED = 10; // seconds
const WINDOWS = 3;
const COPIES = 21;

const engine = v86({ memory: 128 * 2 ** 20 });
const layer = commonhv({ rng: { source: systemSource() }, generation: { next: systemGeneration() } });

export async function bench(): Promise<readonly Figure[]> {
  execFileSync('make', ['-s', '-C', 'c/agent', `OUT=../../${OUT}`, 'agent32']);
  execFileSync('cc', ['-m32', '-O2', '-static', '-o', `${OUT}/run-time`, 'bench/run-time.c']);
  execFileSync('cc', ['-m32', '-nostdlib', '-static', '-s', '-o', `${OUT}/nothing`, 'bench/nothing.S']);
  const files = { 'commonhv-agent32': 'commonhv-agent', 'run-time': 'run-time', nothing: 'nothing' };
  const added = Object.entries(files).flatMap(([from, to]) => ['--add', `${OUT}/${from}=/sbin/${to}`]);
  const add = ['--output', OUT, ...added];
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

/**
 * From start to end, by the guest's own clock, and beside it a program that does nothing: the difference is the agent's. What
 * the host does meanwhile only adds to it, so the fastest runs count.
 */
async function cost(shell: Shell): Promise<readonly Figure[]> {
  const runs = async (program: string) => {
    const said = await shell.run(`run-time ${RUNS} /sbin/${program}`);
    const milliseconds = said.split('\n').map((line) => Number(line) / 1e6);
    if (milliseconds.length !== RUNS) throw new Error(`run-time ${program}: ${said}`);
    return milliseconds;
  };
  const agent: number[] = [];
  const nothing: number[] = [];
  for (let i = 0; i < 3; i++) {
    agent.push(...(await runs('commonhv-agent')));
    nothing.push(...(await runs('nothing')));
  }
  const own = Math.min(...agent) - Math.min(...nothing);
  return [
    { name: 'from start to seeded, fastest', value: own, unit: 'ms', most: 5 },
    { name: 'with fork, exec and wait, fastest', value: Math.min(...agent), unit: 'ms' },
    { name: 'of a program that does nothing, fastest', value: Math.min(...nothing), unit: 'ms' },
    { name: 'with fork, exec and wait, median', value: median(agent), unit: 'ms' },
    { name: 'of a program that does nothing, median', value: median(nothing), unit: 'ms' },
  ];
}

/** Processor time of a watch by the guest's clock: of one alone, for which all is cold at each look, and of one of many. */
async function watching(shell: Shell): Promise<readonly Figure[]> {
  const alone = await watch(shell, 1);
  const rss = Number(/\d+/.exec(await shell.run('grep VmRSS /proc/$(pidof commonhv-agent)/status')));
  const amongMany = await watch(shell, WATCHERS - 1);
  await shell.run('killall commonhv-agent');
  return [
    { name: 'memory of the watch (VmRSS)', value: rss, unit: 'KiB', most: 1024 },
    { name: 'processor time of one watch, in v86', value: alone, unit: '%' },
    { name: `processor time of each of ${WATCHERS}, in v86`, value: amongMany, unit: '%' },
    { name: 'its two system calls, on this machine', value: looking(), unit: '%', most: 0.1 },
  ];
}

/** Starts so many more watches, and gives the share of a processor that each of all takes: the median of the windows. */
async function watch(shell: Shell, more: number): Promise<number> {
  await shell.run(`for i in $(seq ${more}); do commonhv-agent --watch 2>/dev/null & done; sleep 1`);
  const processes = (await shell.run('pidof commonhv-agent')).split(' ');
  const ran = async () => {
    const said = await shell.run(`cd /proc; for p in ${processes.join(' ')}; do cat $p/schedstat; done`);
    return said.split('\n').reduce((sum, line) => sum + Number(line.split(' ')[0]), 0);
  };
  const shares: number[] = [];
  for (let i = 0; i < WINDOWS; i++) {
    const before = await ran();
    const start = performance.now();
    await new Promise((resolve) => setTimeout(resolve, WATCHED * 1000));
    shares.push(((await ran()) - before) / (performance.now() - start) / 1e4 / processes.length);
  }
  return median(shares);
}

/** The system calls of a look every 100 ms as a share of this machine's own processor, a file in the place of the MSR. */
function looking(): number {
  execFileSync('cc', ['-O2', '-o', `${OUT}/looks`, 'bench/looks.c']);
  const nanoseconds = Number(execFileSync(`${OUT}/looks`, ['100', 'bench/looks.c'], { encoding: 'utf8' }));
  return (nanoseconds * 10) / 1e7;
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
    const its = await shellOf(copy, { plain: true });
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
