/** The random source: values a second and CPU a value, in this process and through a guest's RDMSR; false alarms against the arithmetic. */
import { execFileSync } from 'node:child_process';
import { randomFillSync } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import type { Machine } from 'commonhv';
import { kvm } from 'commonhv/engines/kvm';
import { v86 } from 'commonhv/engines/v86';
import { commonhv, health, systemSource } from 'commonhv/hypervisor';
import { HALT, kernel, send, u32 } from '../test/support/guests.ts';
import { type Bench, type Figure, median } from './figure.ts';
import { hasKvm } from './words/kvm-here.ts';
import { CONSTANT, url } from './words/layers.ts';
import { polledHost, type Way } from './words/value-cost.ts';

const RNG = 0x4000_00a0;
const layer = commonhv({ rng: { source: systemSource() } });

export const bench: Bench = async () => {
  const [values, bulk] = [[], []] as [number[], number[]];
  const mixed: number[] = [];
  const cost = { polled: [], looking: [], first: [], sameSource: [] } as Record<
    Exclude<Way, 'mixing'>,
    number[]
  >;
  // Side by side, so that a busy machine slows all.
  for (let round = 0; round < 7; round++) {
    for (const way of ['first', 'sameSource', 'polled', 'looking'] as const)
      cost[way].push(nanosecondsOf(way));
    values.push(1e9 / cost.polled.at(-1)!);
    mixed.push(1e9 / nanosecondsOf('mixing'));
    bulk.push(bulkASecond(24_000_000));
  }
  const reads: number[] = [];
  for (let round = 0; round < 3; round++) reads.push(await readsInV86(4_000_000));
  const exits = hasKvm() ? await exitRatio() : [];
  const { seen, expected } = alarms(2 ** 30);
  return [
    { name: 'in process, under an engine that polls', value: median(values), unit: 'values/s', least: 5e6 },
    { name: 'CPU of a value, under an engine that polls', value: median(cost.polled), unit: 'ns' },
    { name: 'CPU of a value, the clock read for each', value: median(cost.looking), unit: 'ns' },
    { name: "CPU of a value, the first version's way", value: median(cost.first), unit: 'ns' },
    {
      name: "the layer with the first version's source, of the first version's way",
      value: median(cost.sameSource) / median(cost.first),
      unit: 'ratio',
      most: 1,
    },
    {
      name: "the layer with the kernel's generator, of the first version's way",
      value: median(cost.polled) / median(cost.first),
      unit: 'ratio',
      most: 1,
    },
    { name: 'in process, with mixed input', value: median(mixed), unit: 'values/s', least: 1.4e6 },
    { name: 'node:crypto randomFillSync, 64 KiB each', value: median(bulk), unit: 'values/s' },
    { name: 'in process, of the bulk fill', value: median(values) / median(bulk), unit: 'ratio' },
    { name: 'RDMSRs of a guest in v86', value: median(reads), unit: 'values/s', least: 2e6 },
    ...exits,
    { name: 'alarms in 10^9 values, through the layer', value: day(1e9), unit: 'alarms', most: 0 },
    {
      name: 'alarms in 2^30 bytes at 2^-20',
      value: seen,
      unit: 'alarms',
      most: expected + 6 * Math.sqrt(expected),
    },
    { name: 'the same, by the arithmetic', value: expected, unit: 'alarms' },
  ];
};

/** Measured by a process of its own, so that no code is compiled for the mixture of all ways. */
const nanosecondsOf = (way: Way): number =>
  Number(
    execFileSync(process.execPath, [fileURLToPath(new URL('words/value-cost.js', import.meta.url)), way]),
  );

function bulkASecond(bytes: number): number {
  const buffer = new Uint8Array(65_536);
  const start = performance.now();
  for (let done = 0; done < bytes; done += buffer.length) randomFillSync(buffer);
  return bytes / 8 / ((performance.now() - start) / 1000);
}

/** A guest in v86. */
const readsInV86 = (count: number) =>
  readsASecond((kernel) => v86({ memory: 2 ** 22 }).start(layer, { kernel }), count);

/**
 * An exit with the real source against one with a constant. A busy machine blurs the difference, so one guest reads both in
 * turns, 512 times each (a refill of the read-ahead in every one of the RNG's), and times every turn by its own RDTSC. A busy
 * machine only ever adds to a turn, so what counts is the fastest tenth of 400.
 */
async function exitRatio(): Promise<Figure[]> {
  const [turns, reads, buffer] = [400, 512, 0x20_0000];
  const turn = (index: number) => [
    ...[0x0f, 0x31, 0x89, 0x07], // rdtsc; mov [edi], eax
    ...[0xb9, ...u32(index), 0xbe, ...u32(reads)], // mov ecx, index; mov esi, reads
    ...[0x0f, 0x32, 0x4e, 0x75, -5 & 0xff], // rdmsr; dec esi; jnz
    ...[0x0f, 0x31, 0x2b, 0x07, 0x89, 0x07, 0x83, 0xc7, 0x04], // rdtsc; sub eax, [edi]; mov [edi], eax; add edi, 4
  ];
  const both = [...turn(RNG), ...turn(CONSTANT), 0x4d]; // dec ebp
  const code = [
    ...[0xbf, ...u32(buffer), 0xbd, ...u32(turns)], // mov edi, buffer; mov ebp, turns
    ...[...both, 0x0f, 0x85, ...u32(-both.length - 6)], // jnz
    ...[0xbe, ...u32(buffer), 0xb9, ...u32(turns * 8), 0x66, 0xba, 0xf8, 0x03], // mov esi, buffer; mov ecx, ...; mov dx, 3f8h
    ...[0xf3, 0x6e, ...HALT], // rep outsb
  ];
  const layers = { module: url, export: 'both' };
  const machine = await kvm({ memory: 2 ** 22 }).start(layers, { kernel: kernel(code) });
  const bytes: number[] = [];
  const reader = machine.console.readable.getReader();
  for (let next = await reader.read(); !next.done; next = await reader.read()) bytes.push(...next.value);
  await machine.close();
  const cycles = [...new Uint32Array(Uint8Array.from(bytes).buffer)];
  if (cycles.length !== turns * 2) throw new Error(`the guest sent ${cycles.length} times, not ${turns * 2}`);
  const fast = (times: readonly number[]) => [...times].sort((a, b) => a - b)[Math.floor(times.length / 10)]!;
  const [real, constant] = [0, 1].map((kind) => fast(cycles.filter((_, i) => i % 2 === kind)) / reads);
  return [
    { name: 'RDMSR in KVM, the real source', value: real!, unit: 'cycles' },
    { name: 'RDMSR in KVM, a constant', value: constant!, unit: 'cycles' },
    { name: 'the one of the other', value: real! / constant!, unit: 'ratio', most: 1.05 },
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
function day(values: number): number {
  let count = 0;
  const cpu = commonhv({ rng: { source: systemSource(), onFailure: () => count++ } })(polledHost);
  for (let i = 0; i < values; i++) cpu.rdmsr(RNG);
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
