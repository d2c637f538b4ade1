/**
 * Generated faulty machines: the reference machine of three CPUs with one fault, on one CPU, after one route, at one count. Each
 * names the sections one of whose rules has to be broken; the choice of the rule is the suite's.
 */
import type { Regs } from 'commonhv';
import type { Hooks, Moment, ReferenceMachine, ReferenceOptions, Route } from 'commonhv/conformance';
import { CPUS, LOW, type Mutant, mixed, u64 } from './mutant.ts';
import { chains, inputs } from './mutants-events.ts';
import { seldomSeen } from './mutants-page.ts';
import { followingStreams } from './mutants-streams.ts';

interface When {
  readonly name: string;
  readonly cpu: number;
  readonly is: (moment: Moment) => boolean;
}

/** A machine arrives: from nothing, or by a control, which may go wrong at a later time only. */
const ARRIVALS: readonly (readonly [Route, number])[] = [
  ['start', 1],
  ['another', 1],
  ['another', 2],
  ['restore', 1],
  ['restore', 2],
  ['restore', 3],
  ['resume', 1],
  ['resume', 2],
  ['resume', 3],
  ['reset', 1],
  ['migrate', 1],
  ['outer', 1],
  ['outer', 2],
];
const COPIES = ARRIVALS.filter(([route]) => route === 'restore' || route === 'resume');

const after = (cpu: number, [route, turn]: readonly [Route, number], from = 1, to = Infinity): When => ({
  cpu,
  name: `on CPU ${cpu} after ${route} ${turn}${from > 1 ? `, from use ${from}` : ''}${to < Infinity ? `, until ${to}` : ''}`,
  is: (moment) =>
    moment.cpu === cpu &&
    moment.route === route &&
    moment.turn === turn &&
    moment.count >= from &&
    moment.count <= to,
});
const places = (arrivals = ARRIVALS): readonly When[] =>
  CPUS.flatMap((cpu) => arrivals.map((arrival) => after(cpu, arrival)));
/** Later uses, and the first alone, where the machine runs for the first time. */
const late = CPUS.flatMap((cpu) => [2, 5, 17, 33].map((from) => after(cpu, ['start', 1], from)));
const once = CPUS.flatMap((cpu) => [1, 4].map((at) => after(cpu, ['start', 1], at, at)));

type Change = (value: bigint, moment: Moment, machine: ReferenceMachine) => bigint | '#GP' | '#UD';
type Register = 'rng' | 'generation' | 'page';

const reading = (register: Register, when: When, change: Change): Hooks => ({
  read: (value, name, moment, machine) =>
    name === register && typeof value === 'bigint' && when.is(moment)
      ? change(value, moment, machine)
      : value,
});

/** Faults of RDMSR, by register. The functions make a new fault each, as some have state. */
const READS: readonly (readonly [Register, string, readonly string[], readonly When[], () => Change])[] = [
  ['rng', 'raises #GP', ['rng', 'features'], [...places(), ...late, ...once], () => () => '#GP'],
  ['rng', 'raises #UD', ['rng', 'features'], late, () => () => '#UD'],
  ['rng', 'stands still', ['rng', 'msrs'], [...places(), ...late], () => () => 0x1234_5678_9abc_def0n],
  ['rng', 'is zero', ['rng', 'msrs'], [...places(), ...late], () => () => 0n],
  ['rng', 'has 32 bits', ['rng', 'msrs'], [...places(), ...late], () => (value) => value & LOW],
  ['rng', 'has a stuck bit', ['rng', 'msrs'], places(), () => (value) => value | (1n << 37n)],
  [
    'rng',
    'has 16 bits twice',
    ['rng', 'msrs'],
    places(),
    () => (value) => (value & ~0xffff_0000n) | ((value & 0xffffn) << 16n),
  ],
  [
    'rng',
    'counts',
    ['rng', 'msrs'],
    places(),
    () =>
      (_, { count }) =>
        BigInt(count),
  ],
  [
    'rng',
    'is a clock',
    ['rng', 'msrs'],
    places(),
    () =>
      (_, { count }) =>
        0x17a5_0000_0000_0000n + BigInt(count * 104_729),
  ],
  [
    'rng',
    'repeats each value',
    ['rng', 'msrs'],
    places(),
    () =>
      (_, { count }) =>
        mixed(3n, count >> 1),
  ],
  [
    'rng',
    'goes round after eight values',
    ['rng', 'msrs'],
    places(),
    () =>
      (_, { count }) =>
        mixed(4n, count & 7),
  ],
  [
    'generation',
    'raises #GP',
    ['generation', 'features'],
    [...places(), ...late, ...once],
    () => () => '#GP',
  ],
  ['generation', 'has another value', ['generation'], places(), () => (value) => value ^ 0x10_0000_0001n],
  [
    'generation',
    'has another value',
    ['generation'],
    [...late, ...once],
    () => (value) => value ^ 0x10_0000_0001n,
  ],
  ['generation', 'has no low half', ['generation'], places(), () => (value) => value & ~LOW],
  ['generation', 'has no high half', ['generation'], places(), () => (value) => value & LOW],
  [
    'generation',
    'changes at each read',
    ['generation'],
    places(),
    () =>
      (value, { count }) =>
        u64(value + BigInt(count)),
  ],
  ['page', 'raises #GP', ['page', 'msrs'], places(), () => () => '#GP'],
  ['page', 'reads without bit 0', ['page'], places(), () => (value) => value & ~1n],
  ['page', 'reads as 0', ['page'], places(), () => () => 0n],
];

/** Registers that are 0 anyway at some places cannot show a fault there. */
const shows = (register: Register, what: string, when: When): boolean =>
  register !== 'page' || what === 'raises #GP' || !/another|reset/.test(when.name);

const reads = READS.flatMap(([register, what, breaks, whens, make]) =>
  whens
    .filter((when) => shows(register, what, when))
    .map(
      (when): Mutant => ({
        kind: `${register} ${what}`,
        name: `${register} ${what} ${when.name}`,
        breaks,
        // One CPU's generation is another one's too where the fault is on the first CPU of three.
        options: () => ({ cpus: 3, hooks: reading(register, when, make()) }),
      }),
    ),
);

/** Streams that meet another one: the same values, or the same some values further. */
const streams = COPIES.flatMap((arrival) =>
  CPUS.flatMap((cpu) =>
    [0, 1, 13].map((shift): Mutant => {
      const when = after(cpu, arrival);
      const name = `rng replays its first values, ${shift} further, ${when.name}`;
      return {
        kind: 'rng replays',
        name,
        breaks: ['rng', 'msrs'],
        options: () => ({
          cpus: 3,
          hooks: {
            read: (value, register, moment) => {
              if (register !== 'rng' || moment.cpu !== cpu) return value;
              if (moment.route === 'start') return mixed(8n, moment.count);
              return when.is(moment) ? mixed(8n, moment.count + shift) : value;
            },
          },
        }),
      };
    }),
  ),
);
const shared = CPUS.flatMap((cpu) =>
  [0, 5, 40].map(
    (shift): Mutant => ({
      kind: 'rng of copies overlaps',
      name: `rng of resumed copies, on CPU ${cpu}, is one stream, each ${shift} values further`,
      breaks: ['rng', 'msrs'],
      options: () => ({
        cpus: 3,
        hooks: reading('rng', { name: '', cpu, is: (m) => m.cpu === cpu && m.route === 'resume' }, (_, m) =>
          mixed(9n, m.count + shift * m.turn),
        ),
      }),
    }),
  ),
);

/** Leaves that one CPU answers in another way, after a route or from the first on. */
const LEAVES: readonly (readonly [number, number, keyof Regs, number])[] = [
  [0x4f00_0000, 0, 'eax', 1],
  [0x4f00_0001, 0, 'eax', 1],
  [0x4f00_0001, 0, 'ebx', 1],
  [0x4f00_0001, 1, 'eax', 0x100],
  [0x4f00_0001, 2, 'ecx', 0x20],
  [0x4f00_0001, 3, 'ebx', 0x41],
  [0x4f00_0002, 0, 'eax', 2],
  [0x4f00_0002, 0, 'ebx', 1],
  [0x4f00_0002, 0, 'edx', 0x8000_0000],
  [0x4f00_0003, 0, 'eax', 8],
  [0x4f00_0003, 0, 'ebx', 1],
  [0x4f00_0003, 0, 'edx', 4],
];
const leaves = LEAVES.flatMap(([leaf, subleaf, register, bit]) =>
  places(ARRIVALS.filter(([route]) => route !== 'another'))
    .filter(({ cpu, name }) => cpu > 0 || !name.includes('start'))
    .map(
      (when): Mutant => ({
        kind: 'a leaf differs',
        name: `CPUID ${leaf.toString(16)}.${subleaf} ${register} differs ${when.name}`,
        breaks: ['discovery', 'interfaces', 'features'],
        options: () => ({
          cpus: 3,
          hooks: {
            cpuid: (regs, asked, sub, moment) =>
              asked === leaf && sub === subleaf && when.is(moment)
                ? { ...regs, [register]: (regs[register] ^ bit) >>> 0 }
                : regs,
          },
        }),
      }),
    ),
);

/** The generation after a restore: the value that a VMM would take for a new one. */
const RENEWALS: Readonly<Record<string, (fresh: bigint, before: bigint) => bigint>> = {
  'keeps its value': (_, before) => before,
  'renews the low half': (fresh, before) => (before & ~LOW) | (fresh & LOW),
  'renews the high half': (fresh, before) => (before & LOW) | (fresh & ~LOW),
  'counts up': (_, before) => u64(before + 1n),
  'swaps its halves': (_, before) => u64((before << 32n) | (before >> 32n)),
  'is inverted': (_, before) => u64(~before),
  'is 0': () => 0n,
  'is one constant': () => 0x5555_5555_aaaa_aaaan,
  'is hashed from the saved value': (_, before) => mixed(before, 1),
  'has equal halves': (fresh) => (fresh & LOW) | ((fresh & LOW) << 32n),
};
/** A constant, or a value that follows from the saved one, shows only where it is met again. */
const ALWAYS = new Set([
  'swaps its halves',
  'is inverted',
  'is one constant',
  'is hashed from the saved value',
  'counts up',
  'has equal halves',
]);
const renewals = Object.entries(RENEWALS).flatMap(([what, change]) => [
  ...(ALWAYS.has(what) ? [] : COPIES).map(
    ([route, turn]): Mutant => ({
      kind: `generation ${what}`,
      name: `generation ${what} at ${route} ${turn}`,
      breaks: ['generation'],
      options: () => ({
        cpus: 3,
        hooks: {
          renew: (fresh, before, moment) =>
            before !== undefined && moment.route === route && moment.turn === turn
              ? change(fresh, before)
              : fresh,
        },
      }),
    }),
  ),
  {
    kind: `generation ${what}`,
    name: `generation ${what} at every restore`,
    breaks: ['generation'],
    options: () => ({
      cpus: 3,
      hooks: { renew: (fresh, before) => (before === undefined ? fresh : change(fresh, before)) },
    }),
  } satisfies Mutant,
]);

/** Stores of the page: none, late, elsewhere, too much. */
const STORES: Readonly<
  Record<string, (address: number, bytes: Uint8Array) => readonly { address: number; bytes: Uint8Array }[]>
> = {
  'is not stored': () => [],
  'is stored in its low half': (address, bytes) => [{ address, bytes: bytes.slice(0, 4) }],
  'is stored in its high half': (address, bytes) => [{ address: address + 4, bytes: bytes.slice(4) }],
  'is stored with its bytes reversed': (address, bytes) => [{ address, bytes: bytes.slice().reverse() }],
  'is stored at byte 8': (address, bytes) => [{ address: address + 8, bytes }],
  'is stored at bytes 0 and 8': (address, bytes) => [
    { address, bytes },
    { address: address + 8, bytes },
  ],
  'is stored in the next page': (address, bytes) => [{ address: address + 4096, bytes }],
  'is stored in the next page too': (address, bytes) => [
    { address, bytes },
    { address: address + 4096, bytes },
  ],
  'is stored with the rest cleared': (address, bytes) => {
    const page = new Uint8Array(4096);
    page.set(bytes);
    return [{ address, bytes: page }];
  },
  'is stored with a mark at the end': (address, bytes) => [
    { address, bytes },
    { address: address + 4088, bytes: new Uint8Array(8).fill(7) },
  ],
};
const stores = Object.entries(STORES).flatMap(([what, change]) =>
  [['start', 1] as const, ...COPIES].map(
    ([route, turn]): Mutant => ({
      kind: `page: the generation ${what}`,
      name: `page: the generation ${what} at ${route} ${turn}`,
      breaks: ['page'],
      options: () => ({
        cpus: 3,
        hooks: {
          store: (right, moment) =>
            moment.route === route && moment.turn === turn
              ? right.flatMap(({ address, bytes }) => change(address, bytes))
              : right,
        },
      }),
    }),
  ),
);

/** Writes that are answered wrongly on one CPU, after one route. */
const WRITES: readonly (readonly [
  string,
  Register,
  readonly string[],
  (value: bigint, current: boolean) => boolean,
  ReferenceOptions,
])[] = [
  ['takes any acknowledgement', 'generation', ['acknowledgement'], (_, current) => !current, {}],
  ['refuses the acknowledgement', 'generation', ['acknowledgement'], (_, current) => current, {}],
  ['takes a write without acknowledgement', 'generation', ['generation'], () => true, { ack: false }],
  ['refuses input', 'rng', ['rng'], () => true, { input: true }],
  ['takes input that it does not offer to take', 'rng', ['rng'], () => true, {}],
];
const wrongWrites = WRITES.flatMap(([what, register, breaks, which, options]) =>
  places(ARRIVALS.filter(([route]) => ['start', 'restore', 'resume'].includes(route)))
    // A copy is written to on its last CPU in turn.
    .map(
      (when): Mutant => ({
        kind: `${register} ${what}`,
        name: `${register} ${what} ${when.name}`,
        breaks,
        options: () => ({
          cpus: 3,
          ...options,
          hooks: {
            write: (answer, name, value, moment, machine) =>
              name === register && when.is(moment) && which(value, value === machine.generationValue)
                ? answer === undefined
                  ? '#GP'
                  : undefined
                : answer,
          },
        }),
      }),
    ),
);

const accepted = [
  ...Array.from({ length: 11 }, (_, i) => BigInt(i + 1)).map(
    (bit) => [`bit ${bit}`, (v: bigint) => (v & 1n) === 1n && (v & 0xffen) === 1n << bit] as const,
  ),
  ['an address without bit 0', (v: bigint) => v !== 0n && (v & 0xfffn) === 0n] as const,
  ['bit 63', (v: bigint) => v >> 63n === 1n] as const,
  ['the first bit above the width', (v: bigint) => v >> 39n === 1n] as const,
].flatMap(([what, wrongly]) =>
  CPUS.map(
    (cpu): Mutant => ({
      kind: 'page takes a value',
      name: `page takes ${what} on CPU ${cpu}`,
      breaks: ['page'],
      options: () => ({
        cpus: 3,
        hooks: {
          write: (answer, register, value, moment) =>
            register === 'page' && moment.cpu === cpu && answer === '#GP' && wrongly(value)
              ? undefined
              : answer,
        },
      }),
    }),
  ),
);

const CPL3 = (['rng', 'generation', 'page'] as const).flatMap((register) =>
  CPUS.flatMap((cpu) =>
    [false, true].map(
      (write): Mutant => ({
        kind: 'CPL 3',
        name: `${register}: ${write ? 'WRMSR' : 'RDMSR'} is answered at CPL 3 on CPU ${cpu}`,
        breaks: ['msrs'],
        options: () => ({
          cpus: 3,
          input: true,
          hooks: {
            ring3: (answer, name, written, moment) =>
              name === register && moment.cpu === cpu && (written !== undefined) === write
                ? write
                  ? undefined
                  : 5n
                : answer,
          },
        }),
      }),
    ),
  ),
);

/** Every generated machine. */
export const mutants: readonly Mutant[] = [
  ...reads,
  ...streams,
  ...shared,
  ...leaves,
  ...renewals,
  ...stores,
  ...wrongWrites,
  ...accepted,
  ...chains,
  ...CPL3,
  ...inputs,
  ...followingStreams,
  ...seldomSeen,
];
