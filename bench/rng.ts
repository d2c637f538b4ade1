/** The random source: words a second, in this process and through a guest's RDMSR, and false alarms against the arithmetic. */
import { randomFillSync } from 'node:crypto';
import { bare, type Machine } from 'commonhv';
import { kvm } from 'commonhv/engines/kvm';
import { v86 } from 'commonhv/engines/v86';
import { commonhv, health, systemSource } from 'commonhv/hypervisor';
import { HALT, kernel, send, u32 } from '../test/guests.ts';
import { type Bench, type Figure, median } from './figure.ts';
import { hasKvm } from './words/kvm-here.ts';
import { url } from './words/layers.ts';

const RNG = 0x4000_00a0;
const layer = commonhv({ rng: { source: systemSource() } });

export const bench: Bench = async () => {
  const [words, bulk] = [[], []] as [number[], number[]];
  // Side by side, so that a busy machine slows both.
  for (let round = 0; round < 7; round++) {
    words.push(wordsASecond(3_000_000));
    bulk.push(bulkASecond(24_000_000));
  }
  const reads: number[] = [];
  for (let round = 0; round < 3; round++) reads.push(await readsInV86(4_000_000));
  const exits = hasKvm() ? await exitRatio() : [];
  const { seen, expected } = alarms(2 ** 30);
  return [
    { name: 'in process', value: median(words), unit: 'words/s', least: 5e6 },
    { name: 'node:crypto randomFillSync, 64 KiB each', value: median(bulk), unit: 'words/s' },
    { name: 'in process, of the bulk fill', value: median(words) / median(bulk), unit: 'ratio' },
    { name: 'RDMSRs of a guest in v86', value: median(reads), unit: 'words/s', least: 2e6 },
    ...exits,
    { name: 'alarms in 10^9 words, through the layer', value: day(1e9), unit: 'alarms', most: 0 },
    {
      name: 'alarms in 2^30 bytes at 2^-20',
      value: seen,
      unit: 'alarms',
      most: expected + 6 * Math.sqrt(expected),
    },
    { name: 'the same, by the arithmetic', value: expected, unit: 'alarms' },
  ];
};

function wordsASecond(count: number): number {
  const cpu = layer(bare);
  let last: unknown;
  const start = performance.now();
  for (let i = 0; i < count; i++) last = cpu.rdmsr(RNG);
  const seconds = (performance.now() - start) / 1000;
  if (typeof last !== 'bigint') throw new Error('no word');
  return count / seconds;
}

function bulkASecond(bytes: number): number {
  const buffer = new Uint8Array(65_536);
  const start = performance.now();
  for (let done = 0; done < bytes; done += buffer.length) randomFillSync(buffer);
  return bytes / 8 / ((performance.now() - start) / 1000);
}

/** A guest in v86. */
const readsInV86 = (count: number) =>
  readsASecond((kernel) => v86({ memory: 2 ** 22 }).start(layer, { kernel }), count);

/** An exit with the real source against one with a constant, in turns, so that a busy machine slows both. */
async function exitRatio(): Promise<Figure[]> {
  const over = (name: string) => (kernel: Uint8Array) =>
    kvm({ memory: 2 ** 22 }).start({ module: url, export: name }, { kernel });
  const [real, constant, ratios] = [[], [], []] as [number[], number[], number[]];
  for (let round = 0; round < 15; round++) {
    real.push(1e6 / (await readsASecond(over('real'), 40_000)));
    constant.push(1e6 / (await readsASecond(over('constant'), 40_000)));
    ratios.push(real.at(-1)! / constant.at(-1)!);
  }
  return [
    { name: 'RDMSR in KVM, the real source', value: median(real), unit: 'us' },
    { name: 'RDMSR in KVM, a constant', value: median(constant), unit: 'us' },
    { name: 'the one of the other', value: median(ratios), unit: 'ratio', most: 1.05 },
  ];
}

/** A guest says that it starts, reads, and says that it is done. */
async function readsASecond(start: (kernel: Uint8Array) => Promise<Machine>, count: number): Promise<number> {
  const loop = [0x0f, 0x32, 0x4e, 0x75, -5 & 0xff]; // rdmsr; dec esi; jnz
  const code = [...send('a'), 0xb9, ...u32(RNG), 0xbe, ...u32(count), ...loop, ...send('b'), ...HALT];
  const machine = await start(kernel(code));
  const reader = machine.console.readable.getReader();
  await reader.read();
  const began = performance.now();
  await reader.read();
  const seconds = (performance.now() - began) / 1000;
  await machine.close();
  return count / seconds;
}

/** What a day of guests asks for, say: every one of them seeds itself, and none reads for long. */
function day(words: number): number {
  let count = 0;
  const cpu = commonhv({ rng: { source: systemSource(), onFailure: () => count++ } })(bare);
  for (let i = 0; i < words; i++) cpu.rdmsr(RNG);
  return count;
}

/**
 * At alpha = 2^-20 alarms are frequent enough to be counted: repetition has its cut-off at 4 bytes, so 2^-24 a byte;
 * proportion at 13 of 512, P(X >= 12) over the 511 that follow the first, 1.22e-6 a window.
 */
function alarms(bytes: number): { seen: number; expected: number } {
  const buffer = new Uint8Array(65_536);
  let tests = health(20);
  let seen = 0;
  for (let done = 0; done < bytes; done += buffer.length) {
    globalThis.crypto.getRandomValues(buffer);
    if (tests.check(buffer) === undefined) continue;
    seen++;
    tests = health(20);
  }
  let tail = 0;
  let term = (255 / 256) ** 511;
  for (let k = 0; k <= 511; k++) {
    if (k >= 12) tail += term;
    term *= (511 - k) / (k + 1) / 255;
  }
  return { seen, expected: bytes / 2 ** 24 + (bytes / 512) * tail };
}
