/** The machine controls, as callers give them: everything besides asking the first CPU. */
import type { Awaitable, Cpu } from '../cpu.ts';

/**
 * Guest-physical memory, for the rules of the generation page. Addresses are bytes, 0 to 2^53 - 1. Reads see the guest's own
 * writes and the hypervisor's stores; writes are like the guest's.
 */
export interface MemoryControl {
  /** `length` bytes from `address`, within one page. */
  read(address: number, length: number): Awaitable<Uint8Array>;
  /** Writes bytes from `address`, within one page. */
  write(address: number, bytes: Uint8Array): Awaitable<void>;
  /**
   * Page-aligned addresses of RAM that nothing in the guest uses: the suite overwrites these pages, and no others. Default:
   * 20000H and 21000H, which are free under the probe guest. Two are needed for every rule.
   */
  readonly pages?: readonly number[] | undefined;
  /** Page-aligned addresses that are no writable RAM. Default: the last page of the physical address space. */
  readonly holes?: readonly number[] | undefined;
}

/** One machine: its CPUs, and the ways to it that belong to this machine alone. */
export interface MachineUnderTest {
  /** The first CPU. */
  readonly cpu: Cpu;
  /** The other virtual CPUs, in a fixed order. */
  readonly others?: readonly Cpu[] | undefined;
  /** This machine's memory; where it is absent, the rules of the page are not checked on this machine. */
  readonly memory?: MemoryControl | undefined;
  /** The same CPUs, asked by code that runs at CPL 3: for the first CPU, or for each. */
  readonly ring3?: Cpu | readonly Cpu[] | undefined;
}

/**
 * The result of a control: all CPUs of the machine, the first one first, or the machine with its memory. One CPU alone is
 * taken for the first; a machine that was restored in place then keeps its others, and a new one has none that can be asked.
 */
export type Processors = Cpu | readonly Cpu[] | MachineUnderTest;

/**
 * The machine controls. All are optional: a rule that needs a missing one is skipped, and the report lists it as not checked.
 * They may be methods of a class: `this` is the options object. A control that rejects fails the rule that called it.
 */
export interface MachineControls extends Omit<MachineUnderTest, 'cpu'> {
  /**
   * Takes a new saved state of the running machine, which goes on; `restore` and `resume` use the last one. Where it is
   * absent, `restore` and `resume` use a state that was saved at the first call of either, or earlier.
   */
  save?(): Promise<void>;
  /**
   * Restores the saved state into this machine, in place. Gives back all its CPUs; `undefined` where they are the same objects.
   * Called several times.
   */
  restore?(): Promise<Processors | undefined> | Promise<void>;
  /** Makes a new machine of the saved state and gives back all its CPUs. The machine before may end. Called several times. */
  resume?(): Promise<Processors>;
  /** Starts another machine from nothing, as this one was started, and gives back all its CPUs. Both go on. Called twice. */
  another?(): Promise<Processors>;
  /** Stops the machine's CPUs for a moment, and lets them go on. */
  pause?(): Promise<void>;
  /** Resets the machine, as its reset button does; the guest comes up again. `undefined`: the same CPU objects. */
  reset?(): Promise<Processors | undefined> | Promise<void>;
  /** Moves the only copy of the running machine to another host. `undefined`: the same CPU objects. */
  migrate?(): Promise<Processors | undefined> | Promise<void>;
  /**
   * Changes the generation of the outer hypervisor, as a copy of the machine in which the implementation under test runs does;
   * that may find it at the guest's next access to a register. Called several times.
   */
  renewOuter?(): Promise<void>;
  /** How many acknowledgements the hypervisor has reported to the machine's owner since the machine started. */
  acknowledgements?(): Awaitable<number>;
}

/** The controls by name, in the order in which the suite uses them, and their names in a report. */
export const CONTROLS = {
  memory: 'guest memory',
  ring3: 'CPL 3',
  pause: 'pauses',
  reset: 'resets',
  migrate: 'live migrations',
  renewOuter: 'changes of the outer generation',
  save: 'saves',
  restore: 'restores in place',
  resume: 'resumed copies',
  another: 'machines side by side',
  acknowledgements: 'reports to the owner',
} as const satisfies Partial<Record<keyof MachineControls, string>>;

export type ControlName = keyof typeof CONTROLS;
