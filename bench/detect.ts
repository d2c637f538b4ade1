/** `detect`: the whole process beside the tools that people use, and what it asks of the processor in this process. */
import { spawnSync } from 'node:child_process';
import { native } from 'commonhv/engines/native';
import { discover, scan } from 'commonhv/guest';
import { type Figure, median } from './figure.ts';

const ROUNDS = 41;
const TIMES = 200;

const DETECT = [process.execPath, 'dist/cli/bin.cjs', 'detect'];
const COMMANDS: Readonly<Record<string, readonly string[]>> = {
  'commonhv detect': DETECT,
  'node -e 0': [process.execPath, '-e', '0'],
  'virt-what': ['virt-what'],
  'cpuid -1': ['cpuid', '-1'],
  'systemd-detect-virt': ['systemd-detect-virt'],
};

export async function bench(): Promise<readonly Figure[]> {
  const there = Object.entries(COMMANDS).filter(
    ([, [file = '']]) => spawnSync(file, ['--version']).error === undefined,
  );
  const taken = new Map<string, number[]>(there.map(([name]) => [name, []]));
  for (let i = 0; i < ROUNDS; i++) {
    // In turn from either end: nobody always runs after the same other.
    for (const [name, [file = '', ...args]] of i % 2 === 0 ? there : [...there].reverse()) {
      taken.get(name)!.push(milliseconds(file, args));
    }
  }
  const figures: Figure[] = there.map(([name]) => ({ name, value: median(taken.get(name)!), unit: 'ms' }));
  const ratio = median(taken.get('commonhv detect')!) / median(taken.get('node -e 0')!);
  figures.push({ name: 'commonhv detect against node -e 0', value: ratio, unit: 'times', most: 1.15 });
  return [...figures, ...(await inProcess())];
}

function milliseconds(file: string, args: readonly string[]): number {
  const start = performance.now();
  spawnSync(file, args, { stdio: 'ignore' });
  return performance.now() - start;
}

/** `discover` and `scan`, and after each the bare CPUIDs that it executed, in the same order. */
async function inProcess(): Promise<readonly Figure[]> {
  const cpu = native();
  const figures: Figure[] = [];
  for (const [name, ask] of Object.entries({ discover, scan })) {
    const asked: [number, number][] = [];
    const listening = {
      ...cpu,
      cpuid(leaf: number, subleaf: number) {
        asked.push([leaf, subleaf]);
        return cpu.cpuid(leaf, subleaf);
      },
    };
    await ask(listening);
    const whole: number[] = [];
    const bare: number[] = [];
    for (let i = 0; i < TIMES; i++) {
      let start = performance.now();
      await ask(cpu);
      whole.push(1000 * (performance.now() - start));
      start = performance.now();
      for (const [leaf, subleaf] of asked) cpu.cpuid(leaf, subleaf);
      bare.push(1000 * (performance.now() - start));
    }
    figures.push(
      { name: `${name}, ${cpu.how}`, value: median(whole), unit: 'us' },
      { name: `the ${asked.length} CPUIDs of ${name} by themselves`, value: median(bare), unit: 'us' },
    );
  }
  cpu.close();
  return figures;
}
