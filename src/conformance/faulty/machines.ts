/** Faulty machines: what one CPU under one layer cannot show. Each is the reference machine with one mistake. */
import { type Draft, LEAF_FEATURES, LEAF_INTERFACES, PAGE_SIZE } from '../../spec/index.ts';
import type { Rule } from '../rule.ts';
import type { Hooks, Moment, ReferenceMachine, ReferenceOptions, RegisterName } from './reference.ts';

/** A machine that is right but for one thing. */
export interface FaultyMachine {
  /** The rule that it breaks. */
  readonly rule: Rule['id'];
  /** The drafts of which it makes a wrong machine; default: 3. */
  readonly drafts?: readonly Draft[] | undefined;
  /** Its mistake, in a few words: a verb first. */
  readonly title: string;
  /** Rules that it cannot help but break as well. */
  readonly also?: readonly Rule['id'][] | undefined;
  /** A new one; mistakes have state. */
  options(draft?: Draft): ReferenceOptions;
}

type Reads = NonNullable<Hooks['read']>;

const LOW = 0xffff_ffffn;
const u64 = (value: bigint): bigint => BigInt.asUintN(64, value);

/** SplitMix64 (Steele, Lea and Flood): the n-th value of a seed. */
export function splitMix(seed: bigint, n: number): bigint {
  let value = u64(seed + BigInt(n) * 0x9e37_79b9_7f4a_7c15n);
  value = u64((value ^ (value >> 30n)) * 0xbf58_476d_1ce4_e5b9n);
  value = u64((value ^ (value >> 27n)) * 0x94d0_49bb_1331_11ebn);
  return value ^ (value >> 31n);
}

/** Only values of one register. */
export const of =
  (
    register: RegisterName,
    change: (value: bigint, moment: Moment, machine: ReferenceMachine) => ReturnType<Reads>,
  ): Reads =>
  (value, name, moment, machine) =>
    name === register && typeof value === 'bigint' ? change(value, moment, machine) : value;

type Kept = Record<string, bigint>;
/** Keeps a value from one call to the next. */
const put = (kept: Kept, name: string, value: bigint): bigint => {
  kept[name] = value;
  return value;
};
const kept = (all: Kept, name: string, value: bigint): bigint => all[name] ?? put(all, name, value);
const ROUTES = ['start', 'another', 'restore', 'resume', 'reset', 'migrate'];
const restored = ({ route }: Moment): boolean => route === 'restore' || route === 'resume';
const fault = (
  rule: Rule['id'],
  title: string,
  hooks: () => Hooks,
  options: ReferenceOptions = {},
  also?: readonly Rule['id'][],
): FaultyMachine => ({
  rule,
  also,
  title,
  options: () => ({ ...options, hooks: hooks() }),
});

/** Machines that start have the same values. */
const alike = of('rng', (value, { count, route, cpu }) =>
  route === 'start' || route === 'another' ? splitMix(BigInt(cpu) + 5n, count + 1000 * cpu) : value,
);

const random: readonly FaultyMachine[] = [
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
  fault(
    'rng.lowered',
    'makes its next values of a write that it refuses',
    () => ({
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
    }),
    {},
    ['rng.state'],
  ),
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

const leaves: readonly FaultyMachine[] = [
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

const generation: readonly FaultyMachine[] = [
  fault('generation.exception', 'raises #GP on another CPU in resumed copies', () => ({
    read: of('generation', (value, { cpu, route, count }) =>
      cpu === 1 && route === 'resume' && count > 1 ? '#GP' : value,
    ),
  })),
  fault('generation.same', 'has a value of its own on the second CPU', () => ({
    read: of('generation', (value, { cpu }) => (cpu === 1 ? value ^ 0x1_0000_0001n : value)),
  })),
  fault('generation.restored', 'keeps its value at the second restore in place', () => ({
    renew: (fresh, before, { route, turn }) => (route === 'restore' && turn === 2 ? before! : fresh),
  })),
  fault('generation.restored', 'renews its value one read too late, on another CPU', () => {
    const old = new Map<ReferenceMachine, bigint>();
    return {
      renew(fresh, before, _, machine) {
        if (before !== undefined) old.set(machine, before);
        return fresh;
      },
      read: of('generation', (value, { cpu, count }, machine) =>
        cpu === 1 && count === 1 ? (old.get(machine) ?? value) : value,
      ),
    };
  }),
  fault('generation.restored', 'keeps its value in resumed copies, in place it renews it', () => ({
    renew: (fresh, before, { route }) => (route === 'resume' ? before! : fresh),
  })),
  fault('generation.halves', 'is a small counter', () => ({
    renew: (_, __, ___, { world }) => put(world.extra, 'n', (world.extra.n ?? 0n) + 1n),
  })),
  fault('generation.halves-restored', 'renews the low half alone', () => ({
    renew: (fresh, before) => (before === undefined ? fresh : (before & ~LOW) | (fresh & LOW)),
  })),
  fault('generation.fresh', 'counts up in both halves', () => ({
    renew: (_, __, ___, { world }) =>
      put(world.extra, 'n', (world.extra.n ?? 0x1_0000_0001n) + 0x1_0000_0001n),
  })),
  fault('generation.fresh', 'is one function of the saved value, in every copy', () => ({
    renew: (fresh, before) => (before === undefined ? fresh : splitMix(before, 1)),
  })),
  fault('generation.fresh', 'starts every machine with one value', () => ({
    renew: (fresh, before) => (before === undefined ? 0x1234_5678_9abc_def1n : fresh),
  })),
  fault(
    'generation.independent',
    'is a value that the RNG returns',
    () => ({
      read: of('rng', (value, { count, cpu, route }, { generationValue }) =>
        count === 7 && cpu === 0 && route === 'start' ? generationValue : value,
      ),
    }),
    { secure: undefined },
  ),
  fault('generation.steady', 'renews its value when random values were read', () => ({
    read: of('rng', (value, { count, cpu }, machine) => {
      if (count === 100 && cpu === 0) machine.generationValue = splitMix(machine.generationValue, 1);
      return value;
    }),
  })),
  fault('generation.pause', 'renews its value at a pause', () => ({
    paused: (machine) => {
      machine.generationValue = splitMix(machine.generationValue, 1);
    },
  })),
  fault(
    'generation.write-keeps',
    'takes a value that is written',
    () => ({
      write(answer, register, value, _, machine) {
        if (register === 'generation') machine.generationValue = value;
        return answer;
      },
    }),
    { ack: false, dropsWrites: true, page: false },
    ['rng.refuse', 'generation.write'],
  ),
  fault(
    'generation.write-keeps',
    'stores a value that it refused, on another CPU',
    () => ({
      write(answer, register, value, { cpu }, machine) {
        if (register === 'generation' && answer === '#GP' && cpu === 1) machine.generationValue = value;
        return answer;
      },
    }),
    { page: false },
  ),
  {
    rule: 'generation.write',
    title: 'drops a write of another CPU',
    options: () => ({
      ack: false,
      hooks: {
        write: (answer, register, _, { cpu }) =>
          register === 'generation' && cpu === 1 ? undefined : answer,
      },
    }),
  },
  fault('generation.migration', 'renews its value at a live migration', () => ({
    arrived({ route }, machine) {
      if (route === 'migrate') machine.generationValue = splitMix(machine.generationValue, 1);
    },
  })),
  fault('acknowledgement.accepted', 'raises #GP for a right acknowledgement of another CPU', () => ({
    write: (answer, register, _, { cpu }) => (register === 'generation' && cpu === 1 ? '#GP' : answer),
  })),
  fault('acknowledgement.accepted', 'raises #GP for a repeated acknowledgement', () => ({
    write: (answer, register, _, { count, cpu }) =>
      register === 'generation' && answer === undefined && (count > 11 || cpu > 0) ? '#GP' : answer,
  })),
  fault('acknowledgement.other', 'compares the low half alone', () => ({
    write: (answer, register, value, _, { generationValue }) =>
      register === 'generation' && (value & LOW) === (generationValue & LOW) ? undefined : answer,
  })),
  fault('acknowledgement.other', 'takes the saved value after a restore', () => {
    const old = new Map<ReferenceMachine, bigint>();
    return {
      renew(fresh, before, _, machine) {
        if (before !== undefined) old.set(machine, before);
        return fresh;
      },
      write: (answer, register, value, _, machine) =>
        register === 'generation' && value === old.get(machine) ? undefined : answer,
    };
  }),
  fault('acknowledgement.report', 'tells the owner nothing', () => ({ reported: () => 0 })),
  fault('acknowledgement.repeated', 'tells the owner of every write', () => ({ reported: () => 1 })),
];

/** Stores that are right but for `change`, where `when` says so. */
const stores = (
  when: (moment: Moment) => boolean,
  change: (bytes: Uint8Array, address: number) => readonly { address: number; bytes: Uint8Array }[],
): Hooks => ({
  store: (right, moment) =>
    when(moment) ? right.flatMap(({ address, bytes }) => change(bytes, address)) : right,
});
const always = (): boolean => true;

const page: readonly FaultyMachine[] = [
  fault('page.exception', 'raises #GP at RDMSR on another CPU', () => ({
    read: of('page', (value, { cpu }) => (cpu === 1 ? '#GP' : value)),
  })),
  fault('page.value', 'reads its address without the enable bit', () => ({
    read: of('page', (value) => value & ~1n),
  })),
  fault('page.zero', 'keeps the page over a reset', () => ({
    arrived({ route }, machine) {
      if (route === 'reset') machine.pageValue = 0x2_0001n;
    },
  })),
  fault('page.zero', 'starts with a page of its own choice', () => ({
    arrived({ route }, machine) {
      if (route === 'another') machine.pageValue = 0x3_0001n;
    },
  })),
  fault('page.disable', 'raises #GP for 0', () => ({
    write: (answer, register, value) => (register === 'page' && value === 0n ? '#GP' : answer),
  })),
  fault('page.enable', 'raises #GP for a page of another CPU', () => ({
    write: (answer, register, value, { cpu }) =>
      register === 'page' && cpu === 1 && (value & 0xfffn) === 1n ? '#GP' : answer,
  })),
  accepts('page.reserved-bits', 'ignores bit 11', (value) => (value & 0x801n) === 0x801n),
  accepts('page.half', 'takes an address without bit 0', (value) => value !== 0n && (value & 0xfffn) === 0n),
  accepts('page.width', 'ignores bit 63', (value) => value >> 63n === 1n && (value & 0xfffn) === 1n),
  accepts(
    'page.ram',
    'takes a page that is no RAM',
    (value) => value > 0x1000_0000n && value < 1n << 39n && (value & 0xfffn) === 1n,
  ),
  fault('page.unchanged', 'disables the page at a value that it refuses', () => ({
    write(answer, register, _, __, machine) {
      if (register === 'page' && answer === '#GP') machine.pageValue = 0n;
      return answer;
    },
  })),
  fault('page.holds', 'stores the generation with its bytes reversed', () =>
    stores(
      ({ route }) => route === 'start',
      (bytes, address) => [{ address, bytes: bytes.slice().reverse() }],
    ),
  ),
  fault('page.holds', 'stores nothing when the page is enabled', () =>
    stores(
      ({ route }) => !restored({ route } as Moment),
      () => [],
    ),
  ),
  fault('page.holds', 'stores the low half alone', () =>
    stores(
      ({ route }) => route === 'start',
      (bytes, address) => [{ address, bytes: bytes.slice(0, 4) }],
    ),
  ),
  fault('page.others', 'stores the generation into bytes 8 to 15 as well', () =>
    stores(always, (bytes, address) => [
      { address, bytes },
      { address: address + 8, bytes },
    ]),
  ),
  fault('page.others', 'clears the rest of the page at a restore', () =>
    stores(restored, (bytes, address) => {
      const whole = new Uint8Array(PAGE_SIZE);
      whole.set(bytes);
      return [{ address, bytes: whole }];
    }),
  ),
  fault('page.renewed', 'stores nothing in resumed copies', () =>
    stores(
      ({ route }) => route === 'resume',
      () => [],
    ),
  ),
  fault('page.renewed', 'stores nothing at the second restore in place', () =>
    stores(
      ({ route, turn }) => route === 'restore' && turn === 2,
      () => [],
    ),
  ),
  fault('page.renewed', 'stores into the page at the next RDMSR', () => ({
    store: (right, moment) => (restored(moment) && moment.count === 1 ? [] : right),
    read(value, register, moment, machine) {
      if (register === 'generation' && restored(moment)) machine.storePage({ ...moment, count: 2 });
      return value;
    },
  })),
  fault('page.restored', 'forgets the page in resumed copies', () => ({
    read: of('page', (value, { route, count }) => (route === 'resume' && count < 3 ? 0n : value)),
  })),
];

/** Takes values that have to be refused. */
function accepts(rule: Rule['id'], title: string, wrongly: (value: bigint) => boolean): FaultyMachine {
  return fault(rule, title, () => ({
    write(answer, register, value) {
      return register === 'page' && answer === '#GP' && wrongly(value) ? undefined : answer;
    },
  }));
}

/** At least one for each rule that needs several CPUs, a restore, guest memory or CPL 3. */
export const faultyMachines: readonly FaultyMachine[] = [...random, ...leaves, ...generation, ...page];
