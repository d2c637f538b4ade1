// A stand-in for a VMM: `save FILE` writes a state, `resume FILE COPY [MODE]` prints the samples of a copy to standard output.
// `serve FILE COPY MODE PATH` is a daemon with the copy's console at a socket, for a minute; MODE is one of the ways in which a copy and a remedy behave.
import { createHash, randomBytes } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';

/** One line as the sampler prints it; `fields` in their order. FNV-1a over the text before " ~". */
export function sampleLine(fields: Readonly<Record<string, string | number>>): string {
  const text = `commonhv-sample 1 ${Object.entries(fields)
    .map(([key, value]) => `${key}=${value}`)
    .join(' ')}`;
  let check = 0x811c9dc5;
  for (const byte of Buffer.from(text, 'latin1')) check = Math.imul(check ^ byte, 0x01000193) >>> 0;
  return `${text} ~${check.toString(16).padStart(8, '0')}\n`;
}

/** A value that every copy of a state has, and one that no other copy has. */
export const common = (seed: string, name: string, step: number): string =>
  createHash('sha256').update(`${seed} ${name} ${step}`).digest('hex').slice(0, 32);
export const own = (): string => randomBytes(16).toString('hex');

/** What a mode makes of the kernel's value and of the generation, for a copy at a step from 0. */
const MODES: Record<string, (step: number, copy: number) => { kernel: boolean; generation?: boolean }> = {
  bare: () => ({ kernel: false }),
  polled: (step) => ({ kernel: step >= 20, generation: true }),
  good: () => ({ kernel: true, generation: true }),
  'one-renewed': (_, copy) => ({ kernel: copy === 1, generation: copy === 1 }),
  'no-reseed': () => ({ kernel: false, generation: true }),
};

export function lines(seed: string, copy: number, mode: string, count = 100): string {
  const generation = own();
  let text = '';
  for (let step = 0; step < count; step++) {
    const state = MODES[mode]!(step, copy);
    const mono = 1_000_000_000 + copy * 1_000 + step * 1_000_000;
    text += sampleLine({
      n: 50 + step,
      mono,
      real: 1_700_000_000_000_000_000n.toString().slice(0, 9) + String(mono).padStart(10, '0'),
      getrandom: state.kernel ? own() : common(seed, 'getrandom', step),
      once: common(seed, 'once', step),
      'boot-id': common(seed, 'boot', 0),
      ...(state.generation !== undefined && {
        'commonhv-msr': state.generation
          ? generation.slice(0, 16)
          : common(seed, 'generation', 0).slice(0, 16),
      }),
    });
  }
  return text;
}

const [command, file, copy = '1', mode = 'bare'] = process.argv.slice(2);
if (command === 'save') writeFileSync(file!, own());
if (command === 'resume')
  process.stdout.write(`firmware \x1b[2J\n${lines(readFileSync(file!, 'utf8'), Number(copy), mode)}`);
if (command === 'serve') {
  createServer((socket) => {
    socket.on('error', () => {});
    socket.write(lines(readFileSync(file!, 'utf8'), Number(copy), mode));
  }).listen(process.argv[6]!);
  setTimeout(() => process.exit(), 60_000);
}
