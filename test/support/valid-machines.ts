/**
 * Machines that look unusual and break no rule, of all drafts. `warns`: the rules whose SHOULD they do not follow, or whose
 * advisory they earn; with `strict` those fail, but for the ones in `excused`, which the text lets them break.
 */
import type { Awaitable, Cpu, Fault, Regs } from 'commonhv';
import { type MachineControls, ReferenceMachine, type ReferenceOptions } from 'commonhv/conformance';
import type { Draft } from 'commonhv/spec';

export interface ValidMachine {
  readonly name: string;
  /** The draft that the suite has to find by itself; absent: none. */
  readonly draft?: Draft | undefined;
  readonly warns?: readonly string[] | undefined;
  readonly excused?: readonly string[] | undefined;
  /** Those that it may break or not, as chance has it. */
  readonly either?: readonly string[] | undefined;
  make(): { readonly cpu: Cpu; readonly controls: MachineControls };
}

const ALL = 0xffff_ffff_ffff_ffffn;
const LOW = 0xffff_ffffn;
const ZEROS: Regs = { eax: 0, ebx: 0, ecx: 0, edx: 0 };
const SIGNATURE = { ebx: 0x6d6d_6f43, ecx: 0x5648_6e6f, edx: 0x6674_6e49 };
const fresh = (): bigint => crypto.getRandomValues(new BigUint64Array(1))[0]!;
/** A generation: neither half 0. */
const generation = (): bigint => fresh() | 0x1_0000_0001n;

export function reference(
  name: string,
  options: ReferenceOptions,
  rest: Partial<Omit<ValidMachine, 'name' | 'make'>> = {},
  controls: (machine: ReferenceMachine) => MachineControls = (machine) => machine,
): ValidMachine {
  return {
    name,
    draft: options.draft ?? 3,
    ...rest,
    make() {
      const machine = new ReferenceMachine(options);
      return { cpu: machine.cpu, controls: controls(machine) };
    },
  };
}

const interfaces = (count: number) =>
  Array.from({ length: count }, (_, i) => ({
    signature: `Vendor${String(i).padStart(6, '0')}`,
    location: 0x4000_0000 + 0x100 * i,
  }));
const XEN = { signature: 'XenVMMXenVMM', location: 0x4000_0100 };
const OTHER = { signature: 'OtherVendor\0', location: 0x4000_0100 };
const HYPERV = { signature: 'Microsoft Hv', location: 0x4000_0000 };

/** A machine of leaves and functions alone, without any control: what is not given raises #GP, or ends the test. */
function bare(
  leaves: Readonly<Record<string, Partial<Regs>>>,
  msrs: Readonly<Record<number, { read(): bigint; write?(value: bigint): Fault | undefined }>> = {},
  unknown: (index: number) => '#GP' | never = () => '#GP',
): Cpu {
  return {
    cpuid: (leaf, subleaf) => ({ ...ZEROS, ...leaves[`${leaf.toString(16)}.${subleaf}`] }),
    rdmsr: (index) => msrs[index]?.read() ?? unknown(index),
    wrmsr(index, value) {
      const register = msrs[index];
      if (register === undefined) return unknown(index);
      return register.write === undefined ? '#GP' : register.write(value);
    },
  };
}
const BIT = { '1.0': { ecx: 0x8000_0000 } };
const root = (eax: number) => ({ '4f000000.0': { eax, ...SIGNATURE } });
/** As Jailhouse does: the machine stops. */
const stops = (index: number): never => {
  throw new Error(`the machine stopped at MSR ${index.toString(16)}`);
};
const alone = (
  name: string,
  draft: Draft | undefined,
  cpu: () => Cpu,
  rest: Partial<ValidMachine> = {},
): ValidMachine => ({
  name,
  draft,
  ...rest,
  make: () => ({ cpu: cpu(), controls: {} }),
});

const tuple1 = { eax: 0x4000_0000, ebx: 0x4b4d_564b, ecx: 0x564b_4d56, edx: 0x4d };

/** Renews its generation after so many questions of any kind, on all CPUs, with the page. */
function renewsOften(every: number): ReferenceOptions {
  const asked = new Map<ReferenceMachine, number>();
  const tick = (machine: ReferenceMachine): void => {
    const count = (asked.get(machine) ?? 0) + 1;
    asked.set(machine, count);
    if (count % every !== 0) return;
    machine.generationValue = generation();
    machine.storePage({ cpu: 0, route: machine.route, turn: machine.turn, count: 1 });
  };
  return {
    hooks: {
      cpuid(regs, _, __, ___, machine) {
        tick(machine);
        return regs;
      },
      read(value, register, _, machine) {
        const seen = register === 'generation' ? machine.generationValue : value;
        tick(machine);
        return seen;
      },
    },
  };
}

/** Private fields, methods that need their `this`, promises for everything, and machines in plain arrays. */
class OwnHypervisor implements Cpu, MachineControls {
  #generation: bigint;
  readonly others: readonly Cpu[];
  constructor(generationNow = generation()) {
    this.#generation = generationNow;
    this.others = [new OwnVcpu(() => this.#generation), new OwnVcpu(() => this.#generation)];
  }
  cpuid(leaf: number, subleaf: number): Awaitable<Regs> {
    return this.others[0]!.cpuid(leaf, subleaf);
  }
  rdmsr(index: number): Awaitable<bigint | Fault> {
    return this.others[0]!.rdmsr(index);
  }
  wrmsr(index: number, value: bigint): Awaitable<Fault | undefined> {
    return this.others[0]!.wrmsr(index, value);
  }
  async restore(): Promise<undefined> {
    this.#generation = generation();
  }
  async resume(): Promise<readonly Cpu[]> {
    const copy = new OwnHypervisor();
    return [copy, ...copy.others];
  }
  async another(): Promise<Cpu> {
    return new OwnHypervisor();
  }
}
class OwnVcpu implements Cpu {
  readonly #generation: () => bigint;
  constructor(generationNow: () => bigint) {
    this.#generation = generationNow;
  }
  async cpuid(leaf: number, subleaf: number): Promise<Regs> {
    if (leaf === 1) return { ...ZEROS, ecx: 0x8000_0000 };
    if (leaf === 0x4f00_0000) return { eax: 0x4f00_0003, ...SIGNATURE };
    if (leaf === 0x4f00_0001 && subleaf === 0) return { ...ZEROS, eax: 1 };
    if (leaf === 0x4f00_0001 && subleaf === 1) return tuple1;
    if (leaf === 0x4f00_0002) return { ...ZEROS, eax: 0x17 & ~2, ebx: 3 };
    if (leaf === 0x4f00_0003) return { eax: 0x4000_00f0, ebx: 1, ecx: 0x4000_00f8, edx: 0 };
    return ZEROS;
  }
  async rdmsr(index: number): Promise<bigint | Fault> {
    return index === 0x4000_00f0 ? fresh() : index === 0x4000_00f8 ? this.#generation() : '#GP';
  }
  async wrmsr(index: number, value: bigint): Promise<Fault | undefined> {
    return index === 0x4000_00f8 && value === this.#generation() ? undefined : '#GP';
  }
}

const without =
  (...names: readonly (keyof MachineControls)[]) =>
  (machine: ReferenceMachine): MachineControls =>
    new Proxy(machine, {
      get: (target, name) => {
        if ((names as readonly PropertyKey[]).includes(name)) return undefined;
        const value: unknown = Reflect.get(target, name, target);
        return typeof value === 'function' ? value.bind(target) : value;
      },
    });

const draft1: readonly ValidMachine[] = [
  ...[0, 1, 256, 257, 300, 1000].map((count) =>
    reference(`draft 1 with ${count} interfaces`, { draft: 1, interfaces: interfaces(count) }),
  ),
  reference('draft 1 with more interfaces than the suite reads', { draft: 1, interfaces: interfaces(1500) }),
  reference('draft 1 without an RNG', { draft: 1, rng: false, interfaces: [XEN] }),
  reference('draft 1 whose list is the last leaf', {
    draft: 1,
    rng: false,
    maxLeaf: 0x4f00_0001,
    interfaces: [XEN],
  }),
  reference('draft 1 with an RNG and no list', { draft: 1, interfaces: [] }),
  reference('draft 1 with one tuple twice', { draft: 1, interfaces: [OTHER, OTHER] }),
  reference('draft 1 with 32 random bits', { draft: 1, hooks: low32() }, { warns: ['rng.width'] }),
  reference(
    'draft 1 with zero for every value',
    { draft: 1, hooks: value(() => 0n) },
    { warns: ['rng.different'] },
  ),
  reference('draft 1 with zero for some values', {
    draft: 1,
    hooks: value((v, n) => (n % 5 === 0 ? 0n : v)),
  }),
  reference(
    'draft 1 with a stuck bit',
    { draft: 1, hooks: value((v) => v | 1n) },
    { warns: ['rng.quality'] },
  ),
  alone('draft 1 without any leaf but the first', undefined, () => bare({ ...BIT, ...root(0x4f00_0000) })),
  alone('draft 1 that stops at every MSR but its own', 1, () =>
    bare(
      { ...BIT, ...root(0x4f00_0002), '4f000001.0': tuple1, '4f000002.0': { eax: 0x4000_0001 } },
      { 1073741825: { read: fresh, write: () => undefined } },
      stops,
    ),
  ),
];

function low32(): ReferenceOptions['hooks'] {
  return value((v) => v & LOW);
}
function value(change: (value: bigint, n: number) => bigint): ReferenceOptions['hooks'] {
  let n = 0;
  return {
    read: (right, register) => (register === 'rng' && typeof right === 'bigint' ? change(right, n++) : right),
  };
}

const draft2: readonly ValidMachine[] = [
  reference('draft 2 that takes input', { draft: 2, input: true }),
  reference('draft 2 without input, which refuses it', { draft: 2 }),
  reference('draft 2 without input, which drops it', { draft: 2, dropsWrites: true }),
  reference('draft 2 that stops at a write that the text leaves unspecified', {
    draft: 2,
    hooks: { write: () => stops(0) },
  }),
  reference(
    'draft 2 with a hidden hypervisor bit',
    { draft: 2, bit: false },
    { warns: ['discovery.hypervisor-bit'], excused: ['discovery.hypervisor-bit'] },
  ),
  reference('draft 2 without an RNG', { draft: 2, rng: false }),
  reference('draft 2 that ends with the list', { draft: 2, rng: false, maxLeaf: 0x4f00_0001 }),
  reference(
    'draft 2 with 300 interfaces',
    { draft: 2, interfaces: interfaces(300) },
    { warns: ['interfaces.bound'], excused: ['interfaces.bound'] },
  ),
  reference('draft 2 with 32 random bits', { draft: 2, hooks: low32() }, { warns: ['rng.width'] }),
  reference(
    'draft 2 with zero for every value',
    { draft: 2, hooks: value(() => 0n) },
    { warns: ['rng.different'] },
  ),
  reference('draft 2 with its RNG at MSR 0', { draft: 2, msrs: { rng: 0, generation: 1, page: 2 } }),
  reference('draft 2 with its RNG at the last MSR', {
    draft: 2,
    msrs: { rng: 0xffff_ffff, generation: 1, page: 2 },
  }),
  alone('draft 2 without leaves but the first two, and no interface', undefined, () =>
    bare({ ...BIT, ...root(0x4f00_0001) }),
  ),
  alone('draft 2 that stops at every MSR but its own', 2, () =>
    bare(
      { ...BIT, ...root(0x4f00_0003), '4f000002.0': { eax: 1 }, '4f000003.0': { eax: 0x4b56_4e00 } },
      { 1263947264: { read: fresh, write: () => stops(0x4b56_4e00) } },
      stops,
    ),
  ),
  alone(
    'draft 2 with data beyond its list',
    2,
    () =>
      bare({
        ...BIT,
        ...root(0x4f00_0003),
        '4f000001.0': { eax: 1 },
        '4f000001.1': tuple1,
        '4f000001.2': tuple1,
      }),
    { warns: ['interfaces.end'], excused: ['interfaces.end'] },
  ),
];

const draft3: readonly ValidMachine[] = [
  reference('draft 3 with everything', {}),
  reference('draft 3 with eight CPUs', { cpus: 8 }),
  reference('draft 3 with input', { input: true }),
  reference('draft 3 without an RNG', { rng: false }),
  reference('draft 3 without a generation', { generation: false, page: false, ack: false }),
  reference('draft 3 without page and acknowledgement, as the first edition', { page: false, ack: false }),
  reference('draft 3 with the page and no acknowledgement', { ack: false }),
  reference('draft 3 with the acknowledgement and no page', { page: false }),
  reference('draft 3 that offers nothing', {
    rng: false,
    generation: false,
    page: false,
    ack: false,
    interfaces: [],
    maxLeaf: 0x4f00_0002,
  }),
  reference('draft 3 that offers nothing, with the leaf of the registers', {
    rng: false,
    generation: false,
    page: false,
    ack: false,
    interfaces: [],
  }),
  reference(
    'draft 3 with a hidden hypervisor bit',
    { bit: false },
    { warns: ['discovery.hypervisor-bit'], excused: ['discovery.hypervisor-bit'] },
  ),
  reference('draft 3 without a statement about its values', { secure: undefined }),
  reference(
    'draft 3 with values that are certainly not secure',
    { secure: false, hooks: value((_, n) => (BigInt(n) * 0x9e37_79b9_7f4a_7c15n) & ALL) },
    { warns: ['rng.quality'] },
  ),
  reference('draft 3 with 32 random bits', { secure: undefined, hooks: low32() }, { warns: ['rng.width'] }),
  reference(
    'draft 3 that drops writes',
    { dropsWrites: true },
    { warns: ['rng.refuse', 'acknowledgement.other'] },
  ),
  reference(
    'draft 3 that drops writes, without acknowledgement',
    { dropsWrites: true, ack: false, page: false },
    { warns: ['rng.refuse', 'generation.write'] },
  ),
  reference(
    'draft 3 with 300 interfaces',
    { interfaces: interfaces(300) },
    { warns: ['interfaces.bound'], excused: ['interfaces.bound'] },
  ),
  reference('draft 3 with the last interface preferred', { preferred: 2 }),
  reference('draft 3 with two signatures at one location', {
    interfaces: [HYPERV, { ...HYPERV, signature: 'proxmox\0\0\0\0\0' }],
  }),
  reference('draft 3 beside Hyper-V, and a Xen that owns 40000200H to 400002FFH', {
    interfaces: [HYPERV, XEN],
    hooks: { cpuid: (regs, leaf) => (leaf === 0x4000_0102 ? { ...regs, ebx: 0x4000_0200 } : regs) },
  }),
  reference('draft 3 beside a Xen that owns 40000000H to 400000FFH', {
    interfaces: [{ ...XEN, location: 0x4000_0000 }],
    msrs: { rng: 0x5000_0000, generation: 0x5000_0001, page: 0x5000_0002 },
    hooks: { cpuid: (regs, leaf) => (leaf === 0x4000_0002 ? { ...regs, ebx: 0x4000_0000 } : regs) },
  }),
  reference('draft 3 with its registers at both ends of the range', {
    msrs: { rng: 0x4000_0000, generation: 0x4000_00ff, page: 0x4000_0080 },
    interfaces: [],
  }),
  reference(
    'draft 3 that renews its generation at every pause',
    {
      hooks: {
        paused: (machine) => {
          machine.generationValue = generation();
          machine.storePage({ cpu: 0, route: 'start', turn: 1, count: 1 });
        },
      },
    },
    { warns: ['generation.pause'] },
  ),
  reference(
    'draft 3 that renews its generation at every save',
    {
      hooks: {
        saved: (machine) => {
          machine.generationValue = generation();
          machine.storePage({ cpu: 0, route: 'start', turn: 1, count: 1 });
        },
      },
    },
    { warns: ['generation.steady'] },
  ),
  reference('draft 3 that renews its generation after 50 questions', renewsOften(50), {
    warns: ['generation.steady'],
    either: ['generation.pause'],
  }),
  reference('draft 3 that renews its generation after 97 questions', renewsOften(97), {
    warns: ['generation.steady'],
    either: ['generation.pause'],
  }),
  reference('draft 3 that renews its generation after 31 questions', renewsOften(31), {
    warns: ['generation.steady'],
    either: ['generation.pause'],
  }),
  reference('draft 3 with one free page', { pages: [0x9_0000] }),
  reference('draft 3 with a physical address width of 52', { width: 52 }),
  reference('draft 3 with a physical address width of 36', { width: 36 }),
  reference('draft 3 without memory that can be reached', {}, {}, without('memory')),
  reference('draft 3 without saves', {}, {}, without('save')),
  reference('draft 3 with restores in place alone', {}, {}, without('save', 'resume', 'another')),
  reference('draft 3 with resumed copies alone', {}, {}, without('restore', 'another', 'pause')),
  reference('draft 3 without any control', {}, {}, () => ({})),
  {
    name: 'draft 3 of a class with private fields and promises',
    draft: 3,
    make: () => {
      const cpu = new OwnHypervisor();
      return { cpu, controls: cpu };
    },
  },
  alone('draft 3 that stops at every MSR but its own', 3, () =>
    bare(
      { ...BIT, ...root(0x4f00_0003), '4f000002.0': { eax: 1, ebx: 3 }, '4f000003.0': { eax: 0x4000_00a0 } },
      { 1073741984: { read: fresh } },
      stops,
    ),
  ),
  alone(
    'draft 3 with leaves above its last that echo another',
    3,
    () => {
      const cpu = bare(
        {
          ...BIT,
          ...root(0x4f00_0003),
          '4f000002.0': { eax: 1, ebx: 3 },
          '4f000003.0': { eax: 0x4000_00a0 },
        },
        { 1073741984: { read: fresh } },
      );
      return {
        ...cpu,
        cpuid: (leaf, subleaf) =>
          leaf > 0x4f00_0003 && leaf < 0x8000_0000
            ? { eax: 7, ebx: 0x340, ecx: 0x340, edx: 0 }
            : cpu.cpuid(leaf, subleaf),
      };
    },
    { warns: ['discovery.beyond-max'], excused: ['discovery.beyond-max'] },
  ),
];

export const validMachines: readonly ValidMachine[] = [...draft1, ...draft2, ...draft3];
