/** What the hook costs a guest under v86: the same loops with and without it, in one run. */
import type { Layer } from 'commonhv';
import { commonhv, systemSource } from 'commonhv/hypervisor';
import { kernel, SEND_AL, SPIN, u32 } from '../test/guests.ts';
import { type Bench, median } from './figure.ts';
import { start } from './firmware.ts';

const RNG = 0x4000_00a0;
const TSC = 0x10;
/** Loops of one guest: how often, and what (ESI counts, everything else is free). */
const LOOPS = {
  arithmetic: [150_000_000, [0x01, 0xf0, 0x31, 0xf3, 0x8d, 0x0c, 0x58, 0x29, 0xca]], // add, xor, lea, sub
  cpuid: [2_000_000, [0xb8, ...u32(1), 0x31, 0xc9, 0x0f, 0xa2]],
  'CommonHV leaf': [2_000_000, [0xb8, ...u32(0x4f00_0001), 0x31, 0xc9, 0x0f, 0xa2]],
  tsc: [2_000_000, [0xb9, ...u32(TSC), 0x0f, 0x32]],
  rng: [2_000_000, [0xb9, ...u32(RNG), 0x0f, 0x32]],
} as const;
type Loop = keyof typeof LOOPS;
const names = Object.keys(LOOPS) as Loop[];

/** Sends a character, then for each loop runs it and sends another. */
const image = {
  kernel: kernel([
    ...[0xbc, ...u32(0x8_0000), 0xb0, 0x2e, ...SEND_AL],
    ...names.flatMap((name) => {
      const [times, body] = LOOPS[name];
      // The first turns warm the compiler up; the loop is long enough for that not to matter.
      const back = -(body.length + 3) & 0xff;
      return [0xbe, ...u32(times), ...body, 0x4e, 0x75, back, 0xb0, 0x2e, ...SEND_AL];
    }),
    ...SPIN,
  ]),
};

/** Nanoseconds a turn, for each loop. */
async function once(layer: Layer | undefined): Promise<Record<Loop, number>> {
  /** Processor time in microseconds: what else the machine does shows less in it than in the time that goes by. */
  const marks: number[] = [];
  let done: () => void;
  const ended = new Promise<void>((resolve) => {
    done = resolve;
  });
  const stop = await start(image, {
    layer,
    memory: 4 * 2 ** 20,
    onByte() {
      const { user, system } = process.cpuUsage();
      marks.push(user + system);
      if (marks.length > names.length) done();
    },
  });
  await ended;
  await stop();
  const each = names.map((name, i) => [name, ((marks[i + 1]! - marks[i]!) * 1e3) / LOOPS[name][0]]);
  return Object.fromEntries(each) as Record<Loop, number>;
}

const ROUNDS = 8;

export const bench: Bench = async () => {
  const layer = () => commonhv({ rng: { source: systemSource() } });
  const [hooked, plain] = [[], []] as [Record<Loop, number>[], Record<Loop, number>[]];
  // Both modules are compiled, and optimised, before anything counts.
  await once(layer());
  await once(undefined);
  for (let i = 0; i < ROUNDS; i++) {
    plain.push(await once(undefined));
    hooked.push(await once(layer()));
  }
  const of = (runs: typeof hooked, name: Loop) => median(runs.map((run) => run[name]));
  // The fastest of each: arithmetic costs the same every time, and whatever else the machine does can only add to it.
  const fastest = (runs: typeof hooked, name: Loop) => Math.min(...runs.map((run) => run[name]));
  const ratio = (name: Loop) => fastest(hooked, name) / fastest(plain, name);
  return [
    { name: 'arithmetic, with the hook to without', value: ratio('arithmetic'), unit: 'ratio', most: 1.03 },
    { name: 'CPUID of leaf 1, passed down by the layer', value: of(hooked, 'cpuid'), unit: 'ns', most: 200 },
    {
      name: 'CPUID of 4f000001, answered by the layer',
      value: of(hooked, 'CommonHV leaf'),
      unit: 'ns',
      most: 200,
    },
    { name: 'CPUID of leaf 1, without the hook', value: of(plain, 'cpuid'), unit: 'ns' },
    { name: 'RDMSR of the TSC, passed down by the layer', value: of(hooked, 'tsc'), unit: 'ns' },
    { name: 'RDMSR of the TSC, without the hook', value: of(plain, 'tsc'), unit: 'ns' },
    {
      name: 'RDMSR of the RNG, operating system’s words',
      value: 1e9 / of(hooked, 'rng'),
      unit: '/s',
      least: 2e6,
    },
  ];
};
