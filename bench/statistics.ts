/**
 * `statistics`: what rngtest, ent and dieharder say of the words, by the layer in this process and through the RDMSRs of
 * guests. Needs Debian's rng-tools5, ent and dieharder; takes about 20 minutes. docs/randomness.md keeps the results.
 */
import { kvm } from 'commonhv/engines/kvm';
import { v86 } from 'commonhv/engines/v86';
import type { Bench, Figure } from './figure.ts';
import { hasKvm } from './words/kvm-here.ts';
import { url } from './words/layers.ts';
import { pipe } from './words/pipe.ts';
import { inProcess, layer, sending, throughGuest } from './words/stream.ts';

const MiB = 2 ** 20;

/**
 * Left out: 5, 6, 7 and 14, which dieharder itself calls suspect or not to be used; 204, which judges its own arithmetic; the other
 * nine of its 31 for time: 17 alone takes more than two minutes.
 */
const DIEHARDER = [0, 2, 8, 9, 10, 12, 13, 15, 16, 100, 101, 102, 205, 206, 207, 208, 209];

export const bench: Bench = async () => {
  const image = { kernel: sending };
  const throughV86 = () => throughGuest(v86({ memory: 4 * MiB }).start(layer(), image));
  const inHome = { module: url, export: 'real' };
  const throughKvm = () => throughGuest(kvm({ memory: 4 * MiB }).start(inHome, image));
  return [
    ...(await small('in process', inProcess, 1024)),
    ...(await dieharder()),
    ...(await small('v86', await taken(throughV86(), 64), 64)),
    ...(hasKvm() ? await small('kvm', await taken(throughKvm(), 4), 4) : []),
  ];
};

/** A guest's words are slow to come, so both programs get the same ones. */
async function taken(stream: AsyncIterable<Uint8Array>, size: number): Promise<() => Iterable<Uint8Array>> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of stream) {
    chunks.push(chunk);
    bytes += chunk.length;
    if (bytes >= size * MiB) break;
  }
  return () => chunks;
}

/** rngtest and ent. */
async function small(name: string, stream: () => Iterable<Uint8Array>, size: number): Promise<Figure[]> {
  const fips = await pipe(stream(), ['rngtest'], size * MiB);
  const count = (what: string) => Number(new RegExp(`${what}: *(\\d+)`).exec(fips.text)?.[1]);
  const [good, bad] = [count('FIPS 140-2 successes'), count('FIPS 140-2 failures')];
  const ent = await pipe(stream(), ['ent', '-t'], size * MiB);
  // 0,File-bytes,Entropy,Chi-square,Mean,Monte-Carlo-Pi,Serial-Correlation, and the values as 1,...
  const [, bytes, entropy, chi, mean, , serial] = ent.text.split('\n')[1]!.split(',').map(Number);
  // Six standard deviations about what is expected: chi square has 255 degrees of freedom, a byte a variance of 5461.25.
  const deviations = (value: number, expected: number, deviation: number) =>
    Math.abs(value - expected) / deviation;
  return [
    { name: `${name}: rngtest, blocks of 20000 bits`, value: good! + bad!, unit: 'blocks' },
    {
      name: `${name}: rngtest, blocks that fail`,
      value: bad! / (good! + bad!),
      unit: 'ratio',
      most: 0.0008 + 6 * Math.sqrt(0.0008 / (good! + bad!)),
    },
    { name: `${name}: rngtest, continuous run`, value: count('Continuous run'), unit: 'blocks', most: 0 },
    { name: `${name}: ent, bytes`, value: bytes!, unit: 'bytes', least: size * MiB },
    { name: `${name}: ent, entropy a byte`, value: entropy!, unit: 'bits', least: 7.9999 },
    {
      name: `${name}: ent, chi square, off by`,
      value: deviations(chi!, 255, Math.sqrt(510)),
      unit: 'sigma',
      most: 6,
    },
    {
      name: `${name}: ent, mean, off by`,
      value: deviations(mean!, 127.5, Math.sqrt(5461.25 / bytes!)),
      unit: 'sigma',
      most: 6,
    },
    {
      name: `${name}: ent, serial correlation, off by`,
      value: deviations(serial!, 0, 1 / Math.sqrt(bytes!)),
      unit: 'sigma',
      most: 6,
    },
  ];
}

async function dieharder(): Promise<Figure[]> {
  const verdicts = { PASSED: 0, WEAK: 0, FAILED: 0 };
  let bytes = 0;
  for (const test of DIEHARDER) {
    const judged = await pipe(inProcess(), ['dieharder', '-g', '200', '-d', String(test)]);
    bytes += judged.bytes;
    const lines = judged.text.split('\n').filter((line) => /PASSED|WEAK|FAILED/.test(line));
    for (const verdict of ['PASSED', 'WEAK', 'FAILED'] as const) {
      verdicts[verdict] += lines.filter((line) => line.includes(verdict)).length;
    }
    console.error(lines.join('\n'));
  }
  const all = verdicts.PASSED + verdicts.WEAK + verdicts.FAILED;
  return [
    { name: 'in process: dieharder, bytes', value: bytes, unit: 'bytes', least: 1024 * MiB },
    { name: 'in process: dieharder, verdicts', value: all, unit: 'tests' },
    // "WEAK" is p beyond 0.005 at either end: one in a hundred is by chance.
    {
      name: 'in process: dieharder, weak',
      value: verdicts.WEAK,
      unit: 'tests',
      most: Math.ceil(0.01 * all + 4 * Math.sqrt(0.01 * all)),
    },
    { name: 'in process: dieharder, failed', value: verdicts.FAILED, unit: 'tests', most: 0 },
  ];
}
