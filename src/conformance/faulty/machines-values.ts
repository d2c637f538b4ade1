/** Faulty machines: random values, leaves and indices. */
import { LEAF_FEATURES, LEAF_INTERFACES } from '../../spec/index.ts';
import { type FaultyMachine, fault, kept, of, put, ROUTES, restored, splitMix, u64 } from './fault.ts';

/** Machines that start have the same values. */
const alike = of('rng', (value, { count, route, cpu }) =>
  route === 'start' || route === 'another' ? splitMix(BigInt(cpu) + 5n, count + 1000 * cpu) : value,
);

export const random: readonly FaultyMachine[] = [
  fault(
    'rng.state',
    'gives every CPU the values of the first',
    () => ({
      read: of('rng', (_, { count, route, turn }) =>
        splitMix(BigInt(turn * 1000 + ROUTES.indexOf(route)) + 7n, count),
      ),
    }),
    { secure: undefined },
  ),
  fault('rng.state', 'seeds machines that start side by side alike', () => ({ read: alike })),
  {
    rule: 'rng.apart',
    drafts: [1, 2],
    title: 'seeds machines that start side by side alike',
    options: (draft) => ({ draft, hooks: { read: alike } }),
  },
  fault('rng.saved', 'replays its values after every restore', () => ({
    read: of('rng', (value, moment) =>
      restored(moment) ? splitMix(BigInt(moment.cpu) + 77n, moment.count) : value,
    ),
  })),
  fault('rng.saved', 'gives copies one stream, each some values further', () => ({
    read: of('rng', (value, moment) =>
      restored(moment) ? splitMix(BigInt(moment.cpu) + 77n, moment.count + 9 * moment.turn) : value,
    ),
  })),
  fault('rng.saved', 'has one prepared value in the saved state', () => ({
    read: of('rng', (value, moment, { world }) =>
      restored(moment) && moment.count === 1 && moment.cpu === 1
        ? kept(world.extra, 'prepared', value)
        : value,
    ),
  })),
  fault('rng.exception', 'raises #GP on another CPU after the second restore in place', () => ({
    read: of('rng', (value, { cpu, route, turn }) =>
      cpu === 1 && route === 'restore' && turn === 2 ? '#GP' : value,
    ),
  })),
  fault('rng.constant', 'stands still in resumed copies', () => ({
    read: of('rng', (value, { route }) => (route === 'resume' ? 42n : value)),
  })),
  fault('rng.lowered', 'makes its next values of a write that it refuses', () => ({
    write(answer, register, value, { cpu }, machine) {
      if (register === 'rng') machine.extra.seed = value + BigInt(cpu) * 0n;
      return answer;
    },
    read: of('rng', (value, _, { extra }) => {
      if (extra.seed === undefined) return value;
      extra.drawn = (extra.drawn ?? 0n) + 1n;
      if (extra.last !== extra.seed) [extra.last, extra.drawn] = [extra.seed, 0n];
      return splitMix(extra.seed, Number(extra.drawn));
    }),
  })),
  fault(
    'rng.echo',
    "returns one machine's input to another",
    () => ({
      write(answer, register, value, _, { world }) {
        if (register === 'rng') world.extra.written = value === 0n ? 1n : value;
        return answer;
      },
      read: of('rng', (value, { cpu, route, turn, count }, { world }) =>
        route === 'another' && cpu === 0 && turn === 1 && count === 3 && world.extra.written !== undefined
          ? u64(~world.extra.written)
          : value,
      ),
    }),
    { input: true },
  ),
  fault(
    'msrs.secure',
    'states that its values are secure, and repeats each',
    () => ({
      read: of('rng', (value, { count }, { extra }) =>
        count % 2 === 1 ? put(extra, 'once', value) : extra.once!,
      ),
    }),
    { cpus: 1 },
  ),
  fault('msrs.secure', 'states that its values are secure, and returns a shift register', () => ({
    read: of('rng', (_, __, { world }) => {
      let x = world.extra.x ?? 0x1234_5678_9abc_def1n;
      x ^= x >> 12n;
      x = u64(x ^ (x << 25n));
      x ^= x >> 27n;
      return put(world.extra, 'x', x);
    }),
  })),
  fault('msrs.privilege', 'answers RDMSR at CPL 3', () => ({
    ring3: (answer, register, written) => (register === 'generation' && written === undefined ? 5n : answer),
  })),
  fault('msrs.privilege', 'takes WRMSR of the page at CPL 3', () => ({
    ring3: (answer, register, written) => (register === 'page' && written !== undefined ? undefined : answer),
  })),
];

export const leaves: readonly FaultyMachine[] = [
  fault('discovery.constant', 'lists another tuple on another CPU', () => ({
    cpuid: (regs, leaf, subleaf, { cpu }) =>
      leaf === LEAF_INTERFACES && subleaf === 2 && cpu === 1 ? { ...regs, eax: 0x4000_0200 } : regs,
  })),
  fault('discovery.restored', 'takes back a feature in resumed copies, on another CPU', () => ({
    cpuid: (regs, leaf, _, { cpu, route }) =>
      leaf === LEAF_FEATURES && cpu === 1 && route === 'resume' ? { ...regs, eax: regs.eax & ~1 } : regs,
  })),
  fault('interfaces.end', 'has a stale tuple at subleaf 777', () => ({
    cpuid: (regs, leaf, subleaf) =>
      leaf === LEAF_INTERFACES && subleaf === 777 ? { ...regs, eax: 0x4000_0300, ebx: 1 } : regs,
  })),
  {
    rule: 'features.page-needs',
    title: 'offers the page without the generation',
    options: () => ({ generation: false, ack: false }),
  },
  {
    rule: 'features.acknowledgement-needs',
    title: 'offers the acknowledgement without the generation',
    options: () => ({ generation: false, page: false }),
  },
  {
    rule: 'msrs.rng-page',
    title: 'gives the RNG and the page one index',
    options: () => ({ msrs: { rng: 0x4000_00a0, generation: 0x4000_00a1, page: 0x4000_00a0 } }),
  },
  {
    rule: 'msrs.generation-page',
    title: 'gives the generation and the page one index',
    options: () => ({ msrs: { rng: 0x4000_00a0, generation: 0x4000_00a1, page: 0x4000_00a1 } }),
  },
  {
    rule: 'msrs.range',
    title: 'has its RNG at 50000000H',
    options: () => ({ msrs: { rng: 0x5000_0000, generation: 0x4000_00a1, page: 0x4000_00a2 } }),
  },
  {
    rule: 'msrs.free',
    title: "has its generation at the time stamp counter's index",
    options: () => ({ msrs: { rng: 0x4000_00a0, generation: 0x10, page: 0x4000_00a2 } }),
  },
  fault('msrs.page', 'gives the index of no register for the page', () => ({
    read: of('page', () => '#GP'),
    write: (answer, register) => (register === 'page' ? '#GP' : answer),
  })),
];
