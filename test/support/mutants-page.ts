/** Generated faulty machines: the page where it is seldom looked at, acknowledgements in copies, generations of one route, lists. */
import type { Hooks, Moment, ReferenceMachine, ReferenceOptions } from 'commonhv/conformance';
import { LOW, type Mutant, mixed } from './mutant.ts';

const ROUTES = ['restore', 'resume'] as const;
const isCopy = ({ route }: Pick<Moment, 'route'>): boolean => route === 'restore' || route === 'resume';
const mutant = (
  kind: string,
  breaks: readonly string[],
  hooks: () => Hooks,
  options: ReferenceOptions = {},
): Mutant => ({ kind, name: kind, breaks, options: () => ({ cpus: 3, ...options, hooks: hooks() }) });

const FIRST = 0x2_0000;
const bytesOf = (value: bigint): Uint8Array => {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, value, true);
  return bytes;
};
const addressOf = (machine: ReferenceMachine): number => Number(machine.pageValue & ~0xfffn);
const page = (name: string, hooks: () => Hooks): Mutant => mutant(`page: ${name}`, ['page'], hooks);
/** Every store is made at another address as well. */
const elsewhere = (name: string, other: (address: number) => number): Mutant =>
  page(`stores ${name} too`, () => ({
    store: (right) => right.flatMap((store) => [store, { ...store, address: other(store.address) }]),
  }));
/** Values of the page's register that have to be refused. */
const takes = (name: string, wrongly: (value: bigint, moment: Moment) => boolean): Mutant =>
  page(`takes ${name}`, () => ({
    write: (answer, register, value, moment) =>
      register === 'page' && answer === '#GP' && wrongly(value, moment) ? undefined : answer,
  }));

const pages: readonly Mutant[] = [
  elsewhere('in the page before', (address) => address - 4096),
  elsewhere('64 KB further', (address) => address + 0x1_0000),
  elsewhere('at address 0', () => 0),
  elsewhere('at the page frame number', (address) => address >> 12),
  takes('bit 45', (value) => value >> 45n === 1n && (value & 0xfffn) === 1n),
  takes('bits 5 and 7', (value) => (value & 0xfffn) === 0xa1n),
  takes('all low bits', (value) => (value & 0xfffn) === 0xfffn),
  takes('bit 11 alone', (value) => value === 0x800n),
  takes('bit 5 after a restore', (value, moment) => isCopy(moment) && (value & 0xfffn) === 0x21n),
  ...ROUTES.flatMap((on) => [
    page(`stores into a page that was disabled, ${on}`, () => ({
      store: (right, { route }) =>
        right.length === 0 && route === on ? [{ address: FIRST, bytes: new Uint8Array(8).fill(3) }] : right,
    })),
    page(`cannot be enabled any more, ${on}`, () => ({
      write: (answer, register, value, { route }) =>
        register === 'page' && route === on && value !== 0n ? '#GP' : answer,
    })),
    page(`holds nothing once it is enabled again, ${on}`, () => ({
      write(answer, register, value, { route }, machine) {
        if (register === 'page' && route === on && answer === undefined && value !== 0n)
          machine.memory.write(addressOf(machine), new Uint8Array(8));
        return answer;
      },
    })),
    page(`is disabled by the 20th random value, ${on}`, () => ({
      read(value, register, { route, count }, machine) {
        if (register === 'rng' && route === on && count === 20) machine.pageValue = 0n;
        return value;
      },
    })),
    page(`an acknowledgement is stored by the hypervisor, ${on}`, () => ({
      write(answer, register, value, { route }, machine) {
        if (register === 'generation' && answer === undefined && route === on && machine.pageValue !== 0n)
          machine.memory.write(addressOf(machine) + 8, bytesOf(value));
        return answer;
      },
    })),
  ]),
  page('a restore stores at the first address that there ever was', () => {
    let first: number | undefined;
    return {
      store(right, moment) {
        first ??= right[0]?.address;
        return isCopy(moment) ? right.map(({ bytes }) => ({ address: first!, bytes })) : right;
      },
    };
  }),
  page('a restore after a reset stores into the page of before', () => {
    let reset = false;
    return {
      arrived({ route }) {
        reset ||= route === 'reset';
      },
      store: (right, moment) =>
        right.length === 0 && isCopy(moment) && reset && moment.route === 'restore'
          ? [{ address: FIRST, bytes: new Uint8Array(8).fill(1) }]
          : right,
    };
  }),
  page('a pause clears it', () => ({
    paused: (machine) => void (machine.pageValue !== 0n && machine.memory.write(FIRST, new Uint8Array(8))),
  })),
  page('a pause disables it', () => ({
    paused(machine) {
      machine.pageValue = 0n;
    },
  })),
  page("a save clears the guest's word", () => ({
    saved: (machine) => void machine.memory.write(FIRST + 8, new Uint8Array(8)),
  })),
  page('a write to the RNG disables it', () => ({
    write(answer, register, _, __, machine) {
      if (register === 'rng') machine.pageValue = 0n;
      return answer;
    },
  })),
  page('another machine stores its generation into the first one', () => {
    let first: ReferenceMachine | undefined;
    return {
      arrived({ route }, machine) {
        first ??= machine;
        if (route === 'another' && first.pageValue !== 0n)
          first.memory.write(addressOf(first), bytesOf(machine.generationValue));
      },
    };
  }),
  page('its high half is stored late', () => ({
    store: (right, moment) =>
      isCopy(moment) ? right.map(({ address, bytes }) => ({ address, bytes: bytes.slice(0, 4) })) : right,
    read(value, register, moment, machine) {
      if (register === 'generation' && isCopy(moment) && machine.pageValue !== 0n)
        machine.memory.write(addressOf(machine), bytesOf(machine.generationValue));
      return value;
    },
  })),
  page('the local APIC is taken for RAM', () => ({
    cpuid: (regs, leaf) => (leaf === 1 ? { ...regs, edx: regs.edx | (1 << 9) } : regs),
    write: (answer, register, value) => (register === 'page' && value === 0xfee0_0001n ? undefined : answer),
  })),
];

/** The value that a machine was saved with. */
function remembering(
  hooks: (saved: (machine: ReferenceMachine) => bigint | undefined) => Hooks,
): () => Hooks {
  return () => {
    const saved = new Map<ReferenceMachine, bigint>();
    return {
      renew(fresh, before, _, machine) {
        if (before !== undefined) saved.set(machine, before);
        return fresh;
      },
      ...hooks((machine) => saved.get(machine)),
    };
  };
}
const acknowledgement = (name: string, hooks: () => Hooks): Mutant =>
  mutant(`acknowledgement: ${name}`, ['acknowledgement'], hooks);
const inPlace = (reported: (right: number, current: boolean) => number) => () => {
  let restored = false;
  return {
    arrived({ route }: Moment) {
      restored = route === 'restore';
    },
    reported: (right: number, _: boolean, current: boolean) => (restored ? reported(right, current) : right),
  };
};
const acknowledgements: readonly Mutant[] = [
  acknowledgement(
    'none is reported after a restore in place',
    inPlace(() => 0),
  ),
  acknowledgement(
    'each is reported after a restore in place',
    inPlace((_, current) => (current ? 1 : 0)),
  ),
  acknowledgement(
    'any value but the saved one is taken after a restore',
    remembering((saved) => ({
      write: (answer, register, value, moment, machine) =>
        register === 'generation' && isCopy(moment) && value !== saved(machine) ? undefined : answer,
    })),
  ),
  ...[3n, 17n, 40n, 62n].map((bit) =>
    acknowledgement(`bit ${bit} is not compared`, () => ({
      write: (answer, register, value, _, machine) =>
        register === 'generation' && (value ^ machine.generationValue) === 1n << bit ? undefined : answer,
    })),
  ),
  acknowledgement('an RDMSR is reported', () => ({
    read(value, register, { cpu, count }, machine) {
      if (register === 'generation' && cpu === 1 && count === 3) machine.world.reports++;
      return value;
    },
  })),
];

const generation = (name: string, hooks: () => Hooks, options?: ReferenceOptions): Mutant =>
  mutant(`generation: ${name}`, ['generation'], hooks, options);
const generations: readonly Mutant[] = [
  generation(
    'is the saved one again after some reads of a copy',
    remembering((saved) => ({
      read: (value, register, moment, machine) =>
        register === 'generation' && isCopy(moment) && moment.count > 4 ? (saved(machine) ?? value) : value,
    })),
    { page: false },
  ),
  ...(['start', 'restore', 'resume'] as const).map((on) =>
    generation(`has one half at every ${on}`, () => ({
      renew: (fresh, before, { route }) =>
        on === (before === undefined ? 'start' : route) ? (fresh & LOW) | (0x65a1_b2c3n << 32n) : fresh,
    })),
  ),
  generation('is made of halves of two random values', () => ({
    read(value, register, { cpu, route, count }, machine) {
      if (register !== 'rng' || typeof value !== 'bigint' || cpu !== 0 || route !== 'start') return value;
      if (count === 5) return (value & ~LOW) | (machine.generationValue & LOW);
      return count === 6 ? (value & LOW) | (machine.generationValue & ~LOW) : value;
    },
  })),
  generation('is a random value, made odd in both halves', () => ({
    read: (value, register, { cpu, count }, machine) =>
      register === 'rng' && cpu === 0 && count === 9 ? machine.generationValue & ~0x1_0000_0001n : value,
  })),
  generation('is a clock of milliseconds', () => {
    let now = 1_764_274_000_000n << 20n;
    return {
      renew() {
        now += 54_321n << 20n;
        return now;
      },
    };
  }),
];

const stale = { eax: 1, ebx: 2, ecx: 3, edx: 4 };
const list = (name: string, where: (subleaf: number, moment: Moment) => boolean): Mutant =>
  mutant(`list: stale tuples ${name}`, ['interfaces', 'discovery'], () => ({
    cpuid: (regs, leaf, subleaf, moment) => (leaf === 0x4f00_0001 && where(subleaf, moment) ? stale : regs),
  }));
const lists: readonly Mutant[] = [
  list('at 777 on CPU 2', (subleaf, { cpu }) => subleaf === 777 && cpu === 2),
  list('at 5 after a restore', (subleaf, moment) => subleaf === 5 && isCopy(moment)),
  list('from 50,000 to 60,000', (subleaf) => subleaf >= 50_000 && subleaf < 60_000),
  list('where the high half is 12H', (subleaf) => subleaf >>> 16 === 0x12),
  list('at every thousandth', (subleaf) => subleaf > 1000 && subleaf % 1000 === 1),
];

/** The generator's state is mixed with the generation of each copy. */
const mixedWithGeneration = mutant(
  'values of copies are one stream and the generation',
  ['rng', 'msrs'],
  () => ({
    read: (value, register, moment, machine) =>
      register === 'rng' && isCopy(moment)
        ? mixed(BigInt(moment.cpu) + 5n, moment.count) ^ machine.generationValue
        : value,
  }),
);

export const seldomSeen: readonly Mutant[] = [
  ...pages,
  ...acknowledgements,
  ...generations,
  ...lists,
  mixedWithGeneration,
];
