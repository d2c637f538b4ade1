/** `start`: the main job, whole process; and how soon after its engine's start a guest answers. */
import { execFileSync } from 'node:child_process';
import { v86 } from 'commonhv/engines/v86';
import { commonhv, systemSource } from 'commonhv/hypervisor';
import { overSerial, probeImage } from 'commonhv/probe';
import { type Figure, median } from './figure.ts';

const ROUNDS = 9;

export async function bench(): Promise<readonly Figure[]> {
  const whole: number[] = [];
  const bare: number[] = [];
  const answer: number[] = [];
  for (let i = 0; i < ROUNDS; i++) {
    bare.push(milliseconds(['-e', '0']));
    whole.push(milliseconds(['dist/cli/bin.cjs', 'run']));
    answer.push(await firstAnswer());
  }
  return [
    { name: 'commonhv run, whole process', value: median(whole), unit: 'ms', most: 1000 },
    { name: 'node -e 0, beside it', value: median(bare), unit: 'ms' },
    { name: 'the one of the other', value: median(whole) / median(bare), unit: 'ratio', most: 6 },
    {
      name: "the probe's first answer after the engine's start",
      value: median(answer),
      unit: 'ms',
      most: 250,
    },
  ];
}

function milliseconds(args: readonly string[]): number {
  const start = performance.now();
  execFileSync(process.execPath, args, { stdio: 'ignore' });
  return performance.now() - start;
}

/** The first round also loads v86; the median is of machines in a process that has it. */
async function firstAnswer(): Promise<number> {
  const layer = commonhv({ rng: { source: systemSource() } });
  const engine = v86({ memory: 16 * 2 ** 20 });
  const start = performance.now();
  const machine = await engine.start(layer, { kernel: probeImage() });
  try {
    await (await overSerial(machine.console)).cpuid(0x4f00_0000, 0);
    return performance.now() - start;
  } finally {
    await machine.close();
  }
}
