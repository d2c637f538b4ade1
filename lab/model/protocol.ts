/** The messages between the page and a machine's worker: a few calls, each answered, and the machine's events. */
import type { End } from 'commonhv';
import type { Report } from 'commonhv/conformance';
import type { Detection } from 'commonhv/guest';
import type { Tally } from 'commonhv/trace';
import type { Draws } from './generator.ts';
import type { Row } from './row.ts';
import type { Settings } from './settings.ts';

/** The image to boot; without a kernel the probe. */
export interface BootImage {
  readonly kernel: Uint8Array;
  readonly initrd: Uint8Array | undefined;
  readonly commandLine: string;
}

/** A saved machine, and the state of the guest's own generator, which would lie in that machine's memory. */
export interface Saved {
  readonly state: Uint8Array;
  readonly draws: Draws | undefined;
  /** Its generation, where there is one. */
  readonly generation: bigint | undefined;
  /** Whether the guest is the probe, which can be asked. */
  readonly probe: boolean;
}

export interface Seen {
  readonly detection: Detection;
  readonly rows: readonly Row[];
}

/** The hypervisor's answers without a guest in between. */
export interface Checked {
  readonly detection: Detection;
  readonly report: Report;
}

/** The calls: each resolves, or rejects with an Error whose message is one readable line. */
export interface Calls {
  start(settings: Settings, image: BootImage | undefined): Promise<void>;
  resume(settings: Settings, saved: Saved): Promise<void>;
  pause(): Promise<void>;
  unpause(): Promise<void>;
  stop(): Promise<void>;
  save(): Promise<Saved>;
  /** Discovery as the guest does it, and the leaves that it read. */
  look(): Promise<Seen>;
  /** Every leaf that the guest's processor has. */
  lookAll(): Promise<readonly Row[]>;
  /** The 0x40000000 scan, from before CommonHV: how many interfaces it finds. */
  scan(): Promise<number>;
  /** Reads random values from the RNG, in the guest. */
  read(count: number): Promise<void>;
  /** Draws values from the guest's own generator, which was seeded from the RNG. */
  draw(count: number): Promise<BigUint64Array>;
  /** The conformance suite, asked through the guest: pauses, restores and copies this machine. */
  verify(): Promise<Report>;
  /** The hypervisor asked directly, by a new layer of the same settings: the machine that runs is left alone. */
  check(): Promise<Checked>;
  /** Counts by kind of access. */
  tally(): Promise<Tally>;
  /** Bytes for the guest's console. */
  type(bytes: Uint8Array): Promise<void>;
}

/** The guest's accesses to its processor, oldest first, as columns. */
export interface Events {
  /** Milliseconds since the machine started. */
  readonly times: Float64Array<ArrayBuffer>;
  /** `OPS`, plus FAULTED where the answer was a fault. */
  readonly ops: Uint8Array<ArrayBuffer>;
  /** Leaf or MSR index. */
  readonly numbers: Uint32Array<ArrayBuffer>;
  readonly subleaves: Uint32Array<ArrayBuffer>;
}

export const CPUID = 0;
export const RDMSR = 1;
export const WRMSR = 2;
export const FAULTED = 4;

export type Push =
  | { readonly push: 'console'; readonly bytes: Uint8Array<ArrayBuffer>; readonly lost: number }
  | { readonly push: 'events'; readonly events: Events }
  | { readonly push: 'values'; readonly values: BigUint64Array<ArrayBuffer> }
  /** The guest has reseeded and said so, so many milliseconds after the start or the restore. */
  | { readonly push: 'acknowledged'; readonly milliseconds: number }
  | { readonly push: 'ended'; readonly reason: End['reason']; readonly detail: string | undefined };

/** A v86 worker gets this beside its calls: the engine's module, or why there is none. */
export type Given = { readonly module: WebAssembly.Module } | { readonly failed: string };

export interface Request {
  readonly id: number;
  readonly call: keyof Calls;
  readonly args: readonly unknown[];
}

export type Reply =
  | { readonly id: number; readonly value: unknown }
  | { readonly id: number; readonly error: string };
