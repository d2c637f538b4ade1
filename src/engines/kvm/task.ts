/** Tasks, requests and messages between the caller's thread and the worker threads of a machine. */
import type { End, SavedLayer } from '../../cpu.ts';
import type { CpuidDump } from '../../cpuid-dump.ts';
import type { MemoryPlace } from './memory.ts';
import type { VcpuHandle } from './vcpu.ts';
import type { VmGenerationPlace } from './vm-generation.ts';

/** A layer module as it is sent to a worker. */
export interface LayerSource {
  readonly module: string;
  readonly export: string;
  readonly options: unknown;
}

/** So often a thread leaves its guest by itself, in milliseconds. */
export const TIMER_MS = 50;

/** A serial line: a ring buffer for each direction, and the state of the devices at the guest's end. */
export interface SerialBuffers {
  readonly out: SharedArrayBuffer;
  readonly in: SharedArrayBuffer;
  /** `DEVICE_STATE` bytes. */
  readonly state: SharedArrayBuffer;
}

/** One thread's part of a machine. */
export interface Task {
  readonly vm: number;
  /** The vCPU that this thread runs; `undefined` for the I/O thread, which serves the others. */
  readonly vcpu: VcpuHandle | undefined;
  /** The thread's number: the vCPU's, or the number of vCPUs for the I/O thread. */
  readonly thread: number;
  /** With interrupt controllers, and one serial line for the machine. */
  readonly interrupts: boolean;
  /** The serial line whose UART is here. */
  readonly serial: SerialBuffers | undefined;
  /** The layer to build here, and the host CPU's leaves. */
  readonly layer:
    | { readonly source: LayerSource; readonly hostCpu: CpuidDump; readonly resumed: boolean }
    | undefined;
  readonly memory: MemoryPlace;
  readonly vmGeneration: VmGenerationPlace | undefined;
  /** The mailbox for exits that are not served here. */
  readonly upstream: SharedArrayBuffer | undefined;
  /** Whether that mailbox is served by the I/O thread, which the doorbell wakes, or by the caller's thread, by a message. */
  readonly upstreamIsWorker: boolean;
  /** The mailboxes that are served here. */
  readonly mailboxes: readonly SharedArrayBuffer[];
  readonly control: SharedArrayBuffer;
}

/** Sent to a worker, whose event loop is free unless it is at a `run`. */
export type Request =
  /** Builds the task's layer; the reply's value is its CPUID table, where there is a layer. */
  | { readonly kind: 'prepare'; readonly task: Task }
  /** Runs or serves until the thread's command is not `run`. No reply. */
  | { readonly kind: 'run' }
  /** Replies with the layer's state for a saved machine. */
  | { readonly kind: 'saved' }
  /** Tells the layer that the machine was restored, with that state. */
  | { readonly kind: 'restored'; readonly saved: SavedLayer | undefined }
  /** Ends the task; its message is `released`. */
  | { readonly kind: 'release' };

/** Sent by a worker. */
export type Message =
  | { readonly kind: 'ready'; readonly tid: number }
  /** Replies to the last request that has one. */
  | { readonly kind: 'reply'; readonly value: unknown }
  | { readonly kind: 'refused'; readonly error: unknown }
  /** An event of the layer. */
  | { readonly kind: 'event'; readonly event: unknown }
  /** `call`: there is a call in the mailbox for the caller's thread. `paused`: the thread has left its `run`. */
  | { readonly kind: 'output' | 'room' | 'call' | 'paused' }
  /** The guest, or this vCPU of it, has ended; the thread has left its `run`. */
  | { readonly kind: 'ended'; readonly end: End }
  /** The thread uses nothing of the machine any more. */
  | { readonly kind: 'released' };
