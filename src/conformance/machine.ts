/** A machine as the checks reach it: all its CPUs with checked answers, and the controls bound to the caller's object. */
import { type Cpu, MachineError } from '../cpu.ts';
import { checked, checkedMemory } from './answers.ts';
import {
  CONTROLS,
  type ControlName,
  type MachineControls,
  type MachineUnderTest,
  type MemoryControl,
  type Processors,
} from './controls.ts';
import { deadline } from './deadline.ts';

/** The first machine's fields are replaced where a control gives back other CPU objects for it. */
export interface Machine {
  /** The first one, then the others; never empty. */
  cpus: readonly [Cpu, ...Cpu[]];
  memory: MemoryControl | undefined;
  /** CPUs asked at CPL 3. */
  ring3: readonly Cpu[];
}

/** The controls as the checks call them: time limits, and machines in place of the caller's shapes. */
export interface Controls {
  has(name: ControlName): boolean;
  save(): Promise<void>;
  pause(): Promise<void>;
  renewOuter(): Promise<void>;
  acknowledgements(): Promise<number>;
  /** Restores, resumes and the like. */
  machine(name: 'restore' | 'resume' | 'another' | 'reset' | 'migrate'): Promise<Machine>;
}

/** A save of a large machine takes longer than a question. */
const CONTROL_FACTOR = 12;

const isCpu = (value: unknown): value is Cpu =>
  typeof (value as Cpu | undefined)?.cpuid === 'function' &&
  typeof (value as Cpu).rdmsr === 'function' &&
  typeof (value as Cpu).wrmsr === 'function';

/** A machine from the caller's shapes; throws a TypeError that names the control for anything else. */
function machineOf(given: unknown, name: string, timeoutMs: number, rest?: Partial<Machine>): Machine {
  const shape: MachineUnderTest | undefined = isCpu(given)
    ? { cpu: given }
    : Array.isArray(given)
      ? { cpu: given[0], others: given.slice(1) }
      : (given as MachineUnderTest | undefined);
  const cpus = [shape?.cpu, ...(shape?.others ?? [])];
  if (!cpus.every(isCpu)) throw new TypeError(`${name}: expected a Cpu, all CPUs, or a machine`);
  const memory = shape?.memory ?? (shape?.cpu as { memory?: MemoryControl } | undefined)?.memory;
  const ring3 = [shape?.ring3 ?? []].flat() as readonly Cpu[];
  const [first, ...others] = cpus.map((cpu) => checked(cpu, timeoutMs));
  const kept = isCpu(given) ? (rest?.cpus?.slice(1) ?? []) : [];
  return {
    cpus: [first!, ...others, ...kept],
    memory:
      memory !== undefined && typeof memory.read === 'function'
        ? checkedMemory(memory, timeoutMs)
        : rest?.memory,
    ring3: ring3.length > 0 ? ring3.map((cpu) => checked(cpu, timeoutMs)) : (rest?.ring3 ?? []),
  };
}

/** The machine that `verify` was given. */
export function firstMachine(cpu: Cpu, options: MachineControls, timeoutMs: number): Machine {
  const { others, memory, ring3 } = options;
  return machineOf({ cpu, others, memory, ring3 }, 'cpu and others', timeoutMs);
}

/** Binds the controls of the options object; `machine` is the one that runs. */
export function bind(options: MachineControls, machine: Machine, timeoutMs: number): Controls {
  const within = async <T>(name: ControlName, call: () => T | PromiseLike<T>): Promise<Awaited<T>> => {
    try {
      return await deadline(Promise.resolve(call()), timeoutMs * CONTROL_FACTOR);
    } catch (cause) {
      throw new MachineError(`${name}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
    }
  };
  return {
    has: (name) =>
      name === 'ring3'
        ? machine.ring3.length > 0
        : name === 'memory'
          ? machine.memory !== undefined
          : typeof options[name] === 'function',
    save: async () => {
      if (typeof options.save === 'function') await within('save', () => options.save!());
    },
    pause: () => within('pause', () => options.pause!()),
    renewOuter: () => within('renewOuter', () => options.renewOuter!()),
    acknowledgements: async () => Number(await within('acknowledgements', () => options.acknowledgements!())),
    async machine(name) {
      const given: unknown = await within(name, (): Promise<unknown> => options[name]!());
      const inPlace = name !== 'resume' && name !== 'another';
      if (given === undefined && inPlace) return machine;
      const next = machineOf(given, name, timeoutMs, inPlace ? machine : undefined);
      return inPlace ? Object.assign(machine, next) : next;
    },
  };
}

/** The controls that are there, by their names in a report, and those that are missing. */
export function listed(controls: Controls): {
  readonly had: readonly string[];
  readonly missing: readonly string[];
} {
  const names = Object.keys(CONTROLS) as ControlName[];
  return {
    had: names.filter((name) => controls.has(name)).map((name) => CONTROLS[name]),
    missing: names.filter((name) => !controls.has(name)).map((name) => CONTROLS[name]),
  };
}

export type { Processors };
