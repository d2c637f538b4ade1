// A stand-in for a hypervisor with a probe guest on its standard streams: right, or broken in a way that lines can be.
import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import type { SyncCpu } from 'commonhv';
import { commonhv, systemGeneration, systemSource } from 'commonhv/hypervisor';
import { host } from './harness.ts';

const GREETING = 'commonhv probe 1';
const [, , mode = 'good', after = '0', file] = process.argv;

const cpu: SyncCpu = commonhv({
  rng: { source: systemSource() },
  generation: { next: systemGeneration() },
})(host);
const hex = (value: number): string => value.toString(16).padStart(8, '0');

function answer(line: string): string {
  const [letter, ...rest] = line.trim().split(' ');
  const [a = 0, b = 0, c = 0] = rest.map((digits) => Number.parseInt(digits, 16));
  if (letter === 'c') {
    const { eax, ebx, ecx, edx } = cpu.cpuid(a, b);
    return `c ${[eax, ebx, ecx, edx].map(hex).join(' ')}`;
  }
  if (letter === 'r') {
    const word = cpu.rdmsr(a);
    return typeof word === 'string'
      ? 'r #gp'
      : `r ${hex(Number(word >> 32n))} ${hex(Number(word & 0xffff_ffffn))}`;
  }
  if (letter === 'w') return cpu.wrmsr(a, (BigInt(b) << 32n) | BigInt(c)) === undefined ? 'w' : 'w #gp';
  return GREETING;
}

const BREAKS: Readonly<Record<string, (line: string) => void>> = {
  hangs: () => {},
  'stops-in-a-line': (line) => void process.stdout.write(answer(line).slice(0, 11)),
  'talks-garbage': () => void process.stdout.write('\x1b[2J\xff\0 c zz r #xx c 1 2 3\r\n'),
  dies: () => process.exit(3),
};

if (file !== undefined) {
  // A child of its own, as a management stack has them, in the way of whoever only ends the first process.
  const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { stdio: 'ignore' });
  writeFileSync(file, `${process.pid} ${child.pid}`);
}
process.stdout.write(
  mode === 'noisy'
    ? `SeaBIOS (version 1)\r\n\x1b[2J${'x'.repeat(9000)}\r\nBooting from ROM..${GREETING}\r\n`
    : mode === 'silent'
      ? ''
      : `${GREETING}\r\n`,
);
let asked = 0;
createInterface({ input: process.stdin }).on('line', (line) => {
  if (line.trim() === '' || mode === 'silent') return;
  const breaks = BREAKS[mode];
  if (breaks !== undefined && ++asked > Number(after)) return breaks(line);
  process.stdout.write(`${mode === 'noisy' ? '[ 0.1] a kernel talks\r\n' : ''}${answer(line)}\r\n`);
});
