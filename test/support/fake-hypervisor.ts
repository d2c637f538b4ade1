// A stand-in for a hypervisor with a probe guest on its standard streams: right, or broken in a way that lines can be.
import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import type { SyncCpu } from 'commonhv';
import { commonhv, systemGeneration, systemSource } from 'commonhv/hypervisor';
import { host } from './harness.ts';

const [, , mode = 'good', after = '0', file] = process.argv;
/** `wide`: entered in 64-bit mode; `split`: at CPL 3 it shows other leaves; `faults`: CPUID raises #GP there; `old`: the image of before. */
const GREETING = mode === 'old' ? 'commonhv probe 1' : `commonhv probe 2, ${mode === 'wide' ? 64 : 32}-bit`;

const layer = commonhv({ rng: { source: systemSource() }, generation: { next: systemGeneration() } });
/** `kvm`: a hypervisor without CommonHV. */
const cpu: SyncCpu = mode === 'kvm' ? host : layer(host);
const hex = (value: number): string => value.toString(16).padStart(8, '0');

function answer(line: string): string {
  const [word = '', ...rest] = line.trim().split(' ');
  const letter = word.toLowerCase().replace('3', '');
  const user = word.endsWith('3');
  const [a = 0, b = 0, c = 0] = rest.map((digits) => Number.parseInt(digits, 16));
  if (mode === 'old' && word !== letter) return GREETING;
  if (letter === 'c') {
    if (user && mode === 'faults') return `${word} #gp`;
    const { eax, ebx, ecx, edx } = user && mode === 'split' ? host.cpuid(a, b) : cpu.cpuid(a, b);
    return `${word} ${[eax, ebx, ecx, edx].map(hex).join(' ')}`;
  }
  if (letter === 'r') {
    const value = user ? '#GP' : cpu.rdmsr(a);
    return typeof value === 'string'
      ? `${word} #gp`
      : `${word} ${hex(Number(value >> 32n))} ${hex(Number(value & 0xffff_ffffn))}`;
  }
  if (letter === 'w') {
    const refused = user || cpu.wrmsr(a, (BigInt(b) << 32n) | BigInt(c)) !== undefined;
    return refused ? `${word} #gp` : word;
  }
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
