/** `verify`: from command to report, whole processes: on v86, and over a serial line to QEMU where it is installed. */
import { spawnSync } from 'node:child_process';
import { type Figure, median } from './figure.ts';

const ROUNDS = 7;
const QEMU = 'qemu-system-x86_64 -accel tcg -m 16 -net none -nographic';

export async function bench(): Promise<readonly Figure[]> {
  const figures: Figure[] = [
    {
      name: 'verify --engine v86, whole process',
      value: rounds(['--engine', 'v86'], 0),
      unit: 'ms',
      most: 1500,
    },
    { name: 'verify --engine model, whole process', value: rounds(['--engine', 'model'], 0), unit: 'ms' },
  ];
  if (spawnSync('qemu-system-x86_64', ['--version']).status === 0) {
    const kernel = ['--exec', `${QEMU} -kernel {probe}`];
    const disk = ['--exec', `${QEMU} -drive file={probe},format=raw,snapshot=on`];
    figures.push(
      {
        name: 'verify over a serial line to QEMU, -kernel',
        value: rounds(kernel, 1),
        unit: 'ms',
        most: 5000,
      },
      { name: 'verify over a serial line to QEMU, raw disk', value: rounds(disk, 1), unit: 'ms', most: 5000 },
    );
  }
  return figures;
}

function rounds(args: readonly string[], status: number): number {
  const times: number[] = [];
  for (let i = 0; i < ROUNDS; i++) {
    const start = performance.now();
    const ended = spawnSync(process.execPath, ['dist/cli/bin.js', 'verify', ...args], { encoding: 'utf8' });
    if (ended.status !== status) throw new Error(`verify ${args.join(' ')}: ${ended.stdout}${ended.stderr}`);
    times.push(performance.now() - start);
  }
  return median(times);
}
