/** A whole machine in this process that keeps every rule, with all machine controls; hooks make one mistake each of it. */
import type { Cpu, Fault } from '../../cpu.ts';
import { PAGE_SIZE, type Tuple } from '../../spec/index.ts';
import type { Reading } from '../answers.ts';
import type { MachineControls, MachineUnderTest, MemoryControl } from '../controls.ts';
import { leafOf } from './reference-leaves.ts';
import type { Moment, ReferenceOptions, RegisterName, Route, Settled } from './reference-options.ts';

export type { Hooks, Moment, ReferenceOptions, RegisterName, Route, Store } from './reference-options.ts';

interface State {
  readonly generation: bigint;
  readonly page: bigint;
  readonly memory: ReadonlyMap<number, Uint8Array>;
  /** State of a faulty hypervisor that is saved. */
  readonly extra: Readonly<Record<string, bigint>>;
}

/** State that all machines of one hypervisor process share. */
export class World {
  readonly turns = new Map<Route, number>();
  readonly extra: Record<string, bigint> = {};
  /** @internal */
  state: State | undefined;
  reports = 0;
}

const HALF = 0xffff_ffffn;
const pool = new BigUint64Array(512);
let drawn = pool.length;
/** One value of the system's generator, which is asked for many at a time. */
function random(): bigint {
  if (drawn === pool.length) {
    crypto.getRandomValues(pool);
    drawn = 0;
  }
  return pool[drawn++]!;
}

/** A new value of the generation: neither half is 0, nor the half of the value before. */
function freshGeneration(before: bigint | undefined): bigint {
  for (;;) {
    const value = random();
    const halves = [value >> 32n, value & HALF];
    const old = before === undefined ? [] : [before >> 32n, before & HALF];
    if (halves.every((half, i) => half !== 0n && half !== old[i])) return value;
  }
}

const INTERFACES: readonly Tuple[] = [
  { signature: 'KVMKVMKVM\0\0\0', location: 0x4000_0000 },
  { signature: 'Microsoft Hv', location: 0x4000_0100 },
];
const RAM = 16 * 2 ** 20;

export class ReferenceMachine implements MachineControls, MachineUnderTest {
  /** @internal */
  readonly options: Settled;
  /** @internal */
  readonly world: World;
  readonly cpus: readonly Cpu[];
  readonly ring3: readonly Cpu[];
  readonly memory: MemoryControl;
  generationValue = 0n;
  pageValue = 0n;
  /** State of a faulty hypervisor in the machine, saved with it. */
  extra: Record<string, bigint> = {};
  route: Route = 'start';
  turn = 1;
  #pages = new Map<number, Uint8Array>();
  #counts = new Map<string, number>();
  #acknowledged: bigint | undefined;

  constructor(options: ReferenceOptions = {}, world: World = new World(), route: Route = 'start') {
    const draft = options.draft ?? 3;
    this.options = {
      cpus: 2,
      bit: true,
      interfaces: INTERFACES,
      preferred: 0,
      rng: true,
      input: draft === 1,
      dropsWrites: false,
      generation: draft === 3,
      page: draft === 3,
      ack: draft === 3,
      secure: draft === 3 || undefined,
      msrs: { rng: 0x4000_00a0, generation: 0x4000_00a1, page: 0x4000_00a2 },
      width: 39,
      hooks: {},
      ...options,
      draft,
    } as Settled;
    this.world = world;
    const indices = Array.from({ length: this.options.cpus }, (_, i) => i);
    this.cpus = indices.map((cpu) => this.#cpu(cpu));
    this.ring3 = indices.map((cpu) => this.#cpu3(cpu));
    this.memory = {
      pages: options.pages,
      read: (address, length) =>
        this.#page(address).slice(address % PAGE_SIZE, (address % PAGE_SIZE) + length),
      write: (address, bytes) => this.#page(address).set(bytes, address % PAGE_SIZE),
    };
    this.#arrive(route);
  }

  get cpu(): Cpu {
    return this.cpus[0]!;
  }

  get others(): readonly Cpu[] {
    return this.cpus.slice(1);
  }

  async pause(): Promise<void> {
    this.options.hooks.paused?.(this);
  }

  async save(): Promise<void> {
    const memory = new Map([...this.#pages].map(([address, bytes]) => [address, bytes.slice()]));
    this.world.state = {
      generation: this.generationValue,
      page: this.pageValue,
      memory,
      extra: { ...this.extra },
    };
    this.options.hooks.saved?.(this);
  }

  async restore(): Promise<MachineUnderTest> {
    if (this.world.state === undefined) await this.save();
    this.#load(this.world.state!, 'restore');
    return this;
  }

  async resume(): Promise<MachineUnderTest> {
    if (this.world.state === undefined) await this.save();
    const copy = new ReferenceMachine(this.options, this.world, 'resume');
    copy.#load(this.world.state!, 'resume');
    return copy;
  }

  async another(): Promise<MachineUnderTest> {
    return new ReferenceMachine(this.options, this.world, 'another');
  }

  async reset(): Promise<MachineUnderTest> {
    this.pageValue = 0n;
    this.#arrive('reset');
    return this;
  }

  /** The machine in which this hypervisor runs was copied: its guest gets a new generation. */
  async renewOuter(): Promise<void> {
    const before = this.generationValue;
    this.#arrive('outer');
    const moment = { cpu: 0, route: this.route, turn: this.turn, count: 1 };
    const fresh = freshGeneration(before);
    this.generationValue = this.options.hooks.renew?.(fresh, before, moment, this) ?? fresh;
    if (this.generationValue !== before) this.#acknowledged = undefined;
    this.storePage(moment);
  }

  async migrate(): Promise<MachineUnderTest> {
    this.#arrive('migrate');
    return this;
  }

  acknowledgements(): number {
    return this.world.reports;
  }

  /** The right store of the generation, or another that a hook makes of it. */
  storePage(moment: Moment): void {
    const address = Number(this.pageValue & ~0xfffn);
    const bytes = new Uint8Array(8);
    new DataView(bytes.buffer).setBigUint64(0, this.generationValue, true);
    const right = (this.pageValue & 1n) === 0n ? [] : [{ address, bytes }];
    for (const store of this.options.hooks.store?.(right, moment, this) ?? right)
      this.memory.write(store.address, store.bytes);
  }

  #page(address: number): Uint8Array {
    const start = address - (address % PAGE_SIZE);
    const page = this.#pages.get(start) ?? new Uint8Array(PAGE_SIZE);
    this.#pages.set(start, page);
    return page;
  }

  #arrive(route: Route): void {
    const { hooks } = this.options;
    this.route = route;
    this.turn = (this.world.turns.get(route) ?? 0) + 1;
    if (route !== 'resume') this.world.turns.set(route, this.turn);
    this.#counts.clear();
    const moment = { cpu: 0, route, turn: this.turn, count: 1 };
    if (route === 'start' || route === 'another') {
      const fresh = freshGeneration(undefined);
      this.generationValue = hooks.renew?.(fresh, undefined, moment, this) ?? fresh;
    }
    if (route !== 'resume') hooks.arrived?.(moment, this);
  }

  #load(state: State, route: 'restore' | 'resume'): void {
    const { hooks } = this.options;
    this.route = route;
    this.turn = (this.world.turns.get(route) ?? 0) + 1;
    this.world.turns.set(route, this.turn);
    this.#counts.clear();
    this.#acknowledged = undefined;
    this.#pages = new Map([...state.memory].map(([address, bytes]) => [address, bytes.slice()]));
    this.extra = { ...state.extra };
    this.pageValue = state.page;
    const moment = { cpu: 0, route, turn: this.turn, count: 1 };
    const fresh = freshGeneration(state.generation);
    this.generationValue = hooks.renew?.(fresh, state.generation, moment, this) ?? fresh;
    hooks.arrived?.(moment, this);
    this.storePage(moment);
  }

  #moment(cpu: number, register: string): Moment {
    const key = `${register} ${cpu}`;
    const count = (this.#counts.get(key) ?? 0) + 1;
    this.#counts.set(key, count);
    return { cpu, route: this.route, turn: this.turn, count };
  }

  #registerAt(index: number): RegisterName | undefined {
    const { msrs, rng, generation, page, draft } = this.options;
    if (rng && index === msrs.rng) return 'rng';
    if (draft !== 3) return undefined;
    if (generation && index === msrs.generation) return 'generation';
    return page && index === msrs.page ? 'page' : undefined;
  }

  #cpu(cpu: number): Cpu {
    const { hooks } = this.options;
    return {
      cpuid: (leaf, subleaf) => {
        const regs = leafOf(this.options, leaf, subleaf);
        return hooks.cpuid?.(regs, leaf, subleaf, this.#moment(cpu, 'cpuid'), this) ?? regs;
      },
      rdmsr: (index) => {
        const register = this.#registerAt(index);
        if (register === undefined) return '#GP';
        const value =
          register === 'rng' ? random() : register === 'page' ? this.pageValue : this.generationValue;
        return hooks.read?.(value, register, this.#moment(cpu, register), this) ?? value;
      },
      wrmsr: (index, value) => {
        const register = this.#registerAt(index);
        if (register === undefined) return '#GP';
        const moment = this.#moment(cpu, `${register} write`);
        const answer = this.#write(register, value, moment);
        return hooks.write === undefined ? answer : hooks.write(answer, register, value, moment, this);
      },
    };
  }

  #cpu3(cpu: number): Cpu {
    const { hooks } = this.options;
    const answer = (index: number, written: bigint | undefined): Reading | undefined => {
      const register = this.#registerAt(index);
      if (register === undefined || hooks.ring3 === undefined) return '#GP';
      return hooks.ring3('#GP', register, written, this.#moment(cpu, `${register} at CPL 3`), this);
    };
    return {
      cpuid: (leaf, subleaf) => leafOf(this.options, leaf, subleaf),
      rdmsr: (index) => answer(index, undefined) ?? 0n,
      wrmsr: (index, value) => answer(index, value) as Fault | undefined,
    };
  }

  #write(register: RegisterName, value: bigint, moment: Moment): Fault | undefined {
    const { input, dropsWrites, ack } = this.options;
    const refused = dropsWrites ? undefined : '#GP';
    if (register === 'rng') return input ? undefined : refused;
    if (register === 'generation') return ack ? this.#acknowledge(value, refused) : refused;
    if (!this.#acceptsPage(value)) return '#GP';
    this.pageValue = value;
    this.storePage(moment);
    return undefined;
  }

  #acknowledge(value: bigint, refused: Fault | undefined): Fault | undefined {
    const current = value === this.generationValue;
    const repeated = this.#acknowledged === value;
    const right = current && !repeated ? 1 : 0;
    this.world.reports += this.options.hooks.reported?.(right, repeated, current) ?? right;
    if (current) this.#acknowledged = value;
    return current ? undefined : refused;
  }

  #acceptsPage(value: bigint): boolean {
    if (value === 0n) return true;
    return (value & 0xfffn) === 1n && value < BigInt(RAM);
  }
}
