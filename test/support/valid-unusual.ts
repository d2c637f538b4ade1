/** More machines that break no rule: values that are alike by accident, CPUs that come and go, controls of other shapes. */
import type { MachineControls, ReferenceMachine, ReferenceOptions } from 'commonhv/conformance';
import { LOW } from './mutant.ts';
import { reference, type ValidMachine } from './valid-machines.ts';

const fresh = (): bigint => crypto.getRandomValues(new BigUint64Array(1))[0]!;
type Renew = NonNullable<NonNullable<ReferenceOptions['hooks']>['renew']>;
type Read = NonNullable<NonNullable<ReferenceOptions['hooks']>['read']>;
const renewing = (name: string, renew: Renew): ValidMachine => reference(name, { hooks: { renew } });
const reading = (
  name: string,
  read: () => Read,
  options: ReferenceOptions = {},
  warns: readonly string[] = [],
): ValidMachine => reference(name, { ...options, hooks: { read: read() } }, { warns });

/** The machine with some members replaced. */
const replaced = (machine: ReferenceMachine, members: Partial<MachineControls>): MachineControls =>
  new Proxy(machine, {
    get(target, name) {
      if (name in members) return Reflect.get(members, name);
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });

const generations: readonly ValidMachine[] = [
  renewing('draft 3: two restores share a high half', (right, _, { route, turn }) =>
    route === 'restore' && turn <= 2 ? (right & LOW) | (0xabcd_ef01n << 32n) : right,
  ),
  renewing('draft 3: two machines that start share a low half', (right, _, { route, turn }) =>
    route === 'start' || (route === 'another' && turn === 1) ? (right & ~LOW) | 0x123_4567n : right,
  ),
  renewing('draft 3: a restore and a resumed copy share a half', (right, before, { turn }) =>
    before !== undefined && turn === 1 ? (right & ~LOW) | 0x1234_5678n : right,
  ),
  renewing('draft 3: a half of a generation is 1', (right, _, { route, turn }) =>
    route === 'restore' && turn === 1 ? (right & ~LOW) | 1n : right,
  ),
  renewing('draft 3: a generation with equal halves', (right, _, { route, turn }) =>
    route === 'restore' && turn === 2 ? (right & LOW) | ((right & LOW) << 32n) : right,
  ),
  renewing('draft 3: a half is the other one of the saved value', (right, before, { turn }) =>
    before !== undefined && turn === 2 ? (right & ~LOW) | (before >> 32n) : right,
  ),
  reading(
    'draft 3: a random value shares a half with the generation',
    () =>
      (value, register, { count }, machine) =>
        register === 'rng' && typeof value === 'bigint' && count === 17
          ? (value & ~LOW) | (machine.generationValue & LOW)
          : value,
  ),
  reading('draft 3: some random values share a half with the one before', () => {
    let last = 5n;
    return (value, register, { count }) => {
      if (register !== 'rng' || typeof value !== 'bigint') return value;
      if (count % 50 === 20) return (value & ~LOW) | (last & LOW);
      last = value;
      return value;
    };
  }),
  reference(
    'draft 3: a copy renews its generation once more',
    {
      hooks: {
        read(value, register, moment, machine) {
          const late = moment.route === 'restore' || moment.route === 'resume';
          if (register !== 'generation' || !late || moment.count !== 3 || moment.cpu !== 0) return value;
          machine.generationValue = fresh() | 0x1_0000_0001n;
          machine.storePage(moment);
          return machine.generationValue;
        },
      },
    },
    { warns: ['generation.steady'] },
  ),
  reference(
    'draft 3: a reset renews the generation',
    {
      hooks: {
        arrived({ route }, machine) {
          if (route === 'reset') machine.generationValue = fresh() | 0x1_0000_0001n;
        },
      },
    },
    { warns: ['generation.pause'] },
  ),
];

const narrow: Read = (value, register) =>
  register === 'rng' && typeof value === 'bigint' ? value & LOW : value;
const values: readonly ValidMachine[] = [
  reading('draft 1: 32 random bits on three CPUs', () => narrow, { draft: 1, cpus: 3 }, ['rng.width']),
  reading('draft 2: 32 random bits on three CPUs', () => narrow, { draft: 2, cpus: 3 }, ['rng.width']),
  reading('draft 3: 32 random bits on three CPUs', () => narrow, { secure: undefined, cpus: 3 }, [
    'rng.width',
  ]),
  reading(
    'draft 2: zeros at random, one of three',
    () => (value, register) => (register === 'rng' && fresh() % 3n === 0n ? 0n : value),
    { draft: 2, cpus: 3 },
  ),
  reference('draft 1: two zeros after each write', {
    draft: 1,
    hooks: {
      read(value, register, _, machine) {
        const left = machine.extra.zeros ?? 0n;
        if (register !== 'rng' || left === 0n) return value;
        machine.extra.zeros = left - 1n;
        return 0n;
      },
      write(answer, register, _, __, machine) {
        if (register === 'rng') machine.extra.zeros = 2n;
        return answer;
      },
    },
  }),
];

const others: readonly ValidMachine[] = [
  reference('draft 3 with 64 CPUs', { cpus: 64 }),
  reference('draft 3 with one CPU', { cpus: 1 }),
  reference('draft 3 with the RNG alone', {
    generation: false,
    page: false,
    ack: false,
    interfaces: [],
    secure: undefined,
  }),
  reference('draft 3 with the generation alone', { rng: false, page: false, ack: false, interfaces: [] }),
  reference('draft 3: page without acknowledgement on one CPU', { ack: false, cpus: 1 }),
  reference('draft 3: both statements about the values', {
    hooks: { cpuid: (regs, leaf) => (leaf === 0x4f00_0003 ? { ...regs, ebx: 3 } : regs) },
  }),
  reference('draft 3: a CPU is plugged in at a restore', { cpus: 2 }, {}, (machine) =>
    replaced(machine, {
      async restore() {
        await machine.restore();
        const { cpu, memory, ring3 } = machine;
        return { cpu, others: [machine.cpus[1]!, machine.cpus[1]!], memory, ring3 };
      },
    }),
  ),
  reference('draft 3: a CPU is unplugged at a restore', { cpus: 3 }, {}, (machine) =>
    replaced(machine, {
      async restore() {
        await machine.restore();
        return { cpu: machine.cpu, others: [machine.cpus[1]!], memory: machine.memory };
      },
    }),
  ),
  reference('draft 3: memory that can be reached in two pages alone', {}, {}, (machine) =>
    replaced(machine, {
      memory: {
        pages: [0x2_0000, 0x2_1000],
        read(address, length) {
          if (address < 0x2_0000 || address >= 0x2_2000) throw new Error('not there');
          return machine.memory.read(address, length);
        },
        write: machine.memory.write,
      },
    }),
  ),
  reference('draft 3: reports that are counted from each restore on', {}, {}, (machine) => {
    let before = 0;
    return replaced(machine, {
      acknowledgements: async () => machine.acknowledgements() - before,
      async restore() {
        await machine.restore();
        before = machine.acknowledgements();
        return machine;
      },
    });
  }),
];

export const unusualMachines: readonly ValidMachine[] = [...generations, ...values, ...others];
