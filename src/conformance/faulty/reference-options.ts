/** How a reference machine differs from the default one: its options, and the hooks that make a mistake. */
import type { Fault, Regs } from '../../cpu.ts';
import type { Draft, Tuple } from '../../spec/index.ts';
import type { Reading } from '../answers.ts';
import type { ReferenceMachine } from './reference.ts';

export type Route = 'start' | 'another' | 'restore' | 'resume' | 'reset' | 'migrate' | 'outer';
export type RegisterName = 'rng' | 'generation' | 'page';

/** When a hook is called: by which CPU, after which route, taken for the how-manieth time, and at which read of the register. */
export interface Moment {
  readonly cpu: number;
  readonly route: Route;
  /** From 1: the first restore in place, the second, ... */
  readonly turn: number;
  /** From 1, for each register, CPU and route taken. */
  readonly count: number;
}

/** Mistakes. Each hook gets the right result and returns the wrong one. */
export interface Hooks {
  cpuid?(regs: Regs, leaf: number, subleaf: number, moment: Moment, machine: ReferenceMachine): Regs;
  read?(value: Reading, register: RegisterName, moment: Moment, machine: ReferenceMachine): Reading;
  /** Called after the right behaviour; may change the machine as well. */
  write?(
    answer: Fault | undefined,
    register: RegisterName,
    value: bigint,
    moment: Moment,
    machine: ReferenceMachine,
  ): Fault | undefined;
  /** The generation after a route; `before` is the saved one, with `outer` the one until then, `undefined` at a start. */
  renew?(fresh: bigint, before: bigint | undefined, moment: Moment, machine: ReferenceMachine): bigint;
  /** The bytes that are stored for the page, by address. */
  store?(stores: readonly Store[], moment: Moment, machine: ReferenceMachine): readonly Store[];
  /** After the saved state was loaded, or the machine was started, reset or moved. */
  arrived?(moment: Moment, machine: ReferenceMachine): void;
  paused?(machine: ReferenceMachine): void;
  /** After a state was saved. */
  saved?(machine: ReferenceMachine): void;
  /** At CPL 3; the right answer is #GP. */
  ring3?(
    answer: Reading | undefined,
    register: RegisterName,
    written: bigint | undefined,
    moment: Moment,
    machine: ReferenceMachine,
  ): Reading | undefined;
  /** Reports to the owner for one write. */
  reported?(count: number, repeated: boolean, current: boolean): number;
}

export interface Store {
  readonly address: number;
  readonly bytes: Uint8Array;
}

/** The differences from the default machine of draft 3 with everything that it can offer. */
export interface ReferenceOptions {
  readonly draft?: Draft | undefined;
  readonly cpus?: number | undefined;
  readonly bit?: boolean | undefined;
  readonly interfaces?: readonly Tuple[] | undefined;
  readonly preferred?: number | undefined;
  readonly rng?: boolean | undefined;
  readonly input?: boolean | undefined;
  /** A WRMSR that is not taken is dropped in place of raising #GP. */
  readonly dropsWrites?: boolean | undefined;
  readonly secure?: boolean | undefined;
  readonly generation?: boolean | undefined;
  readonly page?: boolean | undefined;
  readonly ack?: boolean | undefined;
  readonly msrs?: Readonly<Record<RegisterName, number>> | undefined;
  readonly maxLeaf?: number | undefined;
  /** Physical address width, as CPUID.80000008H.EAX says. */
  readonly width?: number | undefined;
  /** Page-aligned addresses of RAM that the suite may overwrite; default: its own. */
  readonly pages?: readonly number[] | undefined;
  readonly hooks?: Hooks | undefined;
}

/** Options with every default filled in. */
export type Settled = {
  readonly [K in keyof ReferenceOptions]-?: K extends 'secure' | 'maxLeaf' | 'pages'
    ? ReferenceOptions[K]
    : Exclude<ReferenceOptions[K], undefined>;
};
