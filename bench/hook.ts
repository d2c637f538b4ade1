/** What the hook costs a guest under v86: the same loops with and without it, in one run. */
import type { Layer } from 'commonhv';
import { commonhv, systemSource } from 'commonhv/hypervisor';
import { kernel, SEND_AL, SPIN, u32 } from '../test/support/guests.ts';
import { type Bench, median } from './figure.ts';
import { start } from './firmware.ts';

const RNG = 0x4000_00a0;
const TSC = 0x10;
/** Loops of one guest: how often, and what (ESI counts, everything else is free). */
const LOOPS = {
  arithmetic: [10_000_000, [0x01, 0xf0, 0x31, 0xf3, 0x8d, 0x0c, 0x58, 0x29, 0xca]], // add, xor, lea, sub
  cpuid: [400_000, [0xb8, ...u32(1), 0x31, 0xc9, 0x0f, 0xa2]],
  'CommonHV leaf': [400_000, [0xb8, ...u32(0x4f00_0001), 0x31, 0xc9, 0x0f, 0xa2]],
  tsc: [400_000, [0xb9, ...u32(TSC), 0x0f, 0x32]],
  rng: [400_000, [0xb9, ...u32(RNG), 0x0f, 0x32]],
} as const;
type Loop = keyof typeof LOOPS;
const names = Object.keys(LOOPS) as Loop[];
/** How often a guest runs each loop: short ones, many of which nothing else disturbs. */
const REPEATS = 10;
const ROUNDS = 6;

/** Sends a character, then for each loop runs it and sends another. */
const image = {
  kernel: kernel([
    ...[0xbc, ...u32(0x8_0000), 0xb0, 0x2e, ...SEND_AL],
    ...Array.from({ length: REPEATS }, () => names)
      .flat()
      .flatMap((name) => {
        const [times, body] = LOOPS[name];
        const back = -(body.length + 3) & 0xff;
        return [0xbe, ...u32(times), ...body, 0x4e, 0x75, back, 0xb0, 0x2e, ...SEND_AL];
      }),
    ...SPIN,
  ]),
};

/** Nanoseconds a turn, for each loop, as often as the guest runs it. */
type Times = Readonly<Record<Loop, readonly number[]>>;

async function once(layer: Layer | undefined): Promise<Times> {
  /** For how long the guest has run, in milliseconds, at each character. */
  const marks: number[] = [];
  let done: () => void;
  const ended = new Promise<void>((resolve) => {
    done = resolve;
  });
  const stop = await start(image, {
    layer,
    memory: 4 * 2 ** 20,
    onByte(_, ran) {
      marks.push(ran);
      if (marks.length > REPEATS * names.length) done();
    },
  });
  await ended;
  await stop();
  const times = names.map((name, i) => {
    const each = Array.from({ length: REPEATS }, (_, turn) => {
      const at = turn * names.length + i;
      return ((marks[at + 1]! - marks[at]!) * 1e6) / LOOPS[name][0];
    });
    return [name, each] as const;
  });
  return Object.fromEntries(times) as unknown as Times;
}

export const bench: Bench = async () => {
  const layer = () => commonhv({ rng: { source: systemSource() } });
  const both = async (hookedFirst: boolean) => {
    const runs = hookedFirst ? [once(layer()), once(undefined)] : [once(undefined), once(layer())];
    const [first, second] = (await Promise.all(runs)) as [Times, Times];
    return hookedFirst ? { hooked: first, plain: second } : { hooked: second, plain: first };
  };
  await both(false); // both modules are compiled, and optimised, before anything counts
  const rounds: { hooked: Times; plain: Times }[] = [];
  for (let i = 0; i < ROUNDS; i++) rounds.push(await both(i % 2 === 0));
  const of = (who: 'hooked' | 'plain', name: Loop) => median(rounds.flatMap((round) => round[who][name]));
  // The same stretch of the same guest, run at the same time: the median of such pairs.
  const ratio = median(
    rounds.flatMap(({ hooked, plain }) => hooked.arithmetic.map((ns, i) => ns / plain.arithmetic[i]!)),
  );
  return [
    { name: 'arithmetic, with the hook to without', value: ratio, unit: 'ratio', most: 1.02 },
    {
      name: 'CPUID of leaf 1, passed down by the layer',
      value: of('hooked', 'cpuid'),
      unit: 'ns',
      most: 200,
    },
    {
      name: 'CPUID of 4f000001, answered by the layer',
      value: of('hooked', 'CommonHV leaf'),
      unit: 'ns',
      most: 200,
    },
    { name: 'CPUID of leaf 1, without the hook', value: of('plain', 'cpuid'), unit: 'ns' },
    { name: 'RDMSR of the TSC, passed down by the layer', value: of('hooked', 'tsc'), unit: 'ns' },
    { name: 'RDMSR of the TSC, without the hook', value: of('plain', 'tsc'), unit: 'ns' },
    {
      name: 'RDMSR of the RNG, operating system’s words',
      value: 1e9 / of('hooked', 'rng'),
      unit: '/s',
      least: 2e6,
    },
  ];
};
