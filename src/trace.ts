/** A layer that records its guest's accesses, and counts them. It holds no MSR value: random values become a guest's seed. @module */
import type { Fault, Layer, Regs } from './cpu.ts';
import { lifecycle } from './cpu.ts';

/** One instruction of the guest, in the order of execution. */
export type TraceEvent =
  /** `regs`: the answer to the guest. */
  | { readonly kind: 'cpuid'; readonly leaf: number; readonly subleaf: number; readonly regs: Regs }
  /** `fault`: the exception; `undefined` where the guest had its answer. */
  | { readonly kind: 'rdmsr' | 'wrmsr'; readonly index: number; readonly fault: Fault | undefined }
  /** Not an instruction: the machine was restored from a saved state, or reset. */
  | { readonly kind: 'restored' }
  | { readonly kind: 'reset' };

/**
 * A layer that changes nothing and tells `onEvent` of each question after it was answered. It goes on top:
 * `(below) => trace(log)(commonhv(options)(below))`. An exception from `onEvent` ends the machine.
 */
export function trace(onEvent: (event: TraceEvent) => void): Layer {
  return (host) => ({
    ...lifecycle(host),
    cpuid(leaf, subleaf) {
      const regs = host.cpuid(leaf, subleaf);
      onEvent({ kind: 'cpuid', leaf, subleaf, regs });
      return regs;
    },
    rdmsr(index) {
      const answer = host.rdmsr(index);
      onEvent({ kind: 'rdmsr', index, fault: typeof answer === 'bigint' ? undefined : answer });
      return answer;
    },
    wrmsr(index, value) {
      const fault = host.wrmsr(index, value);
      onEvent({ kind: 'wrmsr', index, fault });
      return fault;
    },
    restored(saved) {
      host.restored?.(saved);
      onEvent({ kind: 'restored' });
    },
    reset() {
      host.reset?.();
      onEvent({ kind: 'reset' });
    },
  });
}

/** Counts of accesses: leaves and MSRs in the order in which they were first asked. */
export interface Tally {
  readonly cpuid: {
    /** How many CPUIDs there were, those beyond the last row of `leaves` included. */
    readonly total: number;
    /** How many of them are steps of the scan: 40000000H to 4000FF00H by 100H. */
    readonly scan: number;
    /** A row for each leaf and subleaf. Subleaves that differ above bit 19 only share one. */
    readonly leaves: readonly LeafRow[];
  };
  readonly msr: readonly MsrRow[];
}

/** `firstMs`: when it was first asked, by the clock of `counter`, in milliseconds. */
export interface LeafRow {
  readonly leaf: number;
  readonly subleaf: number;
  readonly count: number;
  readonly firstMs: number;
}

/** `faults`: how many of the reads and writes raised one; `firstMs` as in `LeafRow`. */
export interface MsrRow {
  readonly index: number;
  readonly reads: number;
  readonly writes: number;
  readonly faults: number;
  readonly firstMs: number;
}

type Writable<T> = { -readonly [key in keyof T]: T[key] };

/**
 * Counts events: hand `count` to `trace`, and ask for the `tally` at any time. A hostile guest fills 65,536 rows at most.
 * `now` is the clock of `firstMs`, in milliseconds.
 */
export function counter(now: () => number = () => performance.now()): {
  count(event: TraceEvent): void;
  tally(): Tally;
} {
  const leaves = new Map<number, Writable<LeafRow>>();
  const msrs = new Map<number, Writable<MsrRow>>();
  const MOST = 65_536;
  let total = 0;
  let scan = 0;
  return {
    count(event) {
      if (event.kind === 'restored' || event.kind === 'reset') return;
      if (event.kind === 'cpuid') {
        const { leaf, subleaf } = event;
        total += 1;
        if (isScanStep(leaf)) scan += 1;
        const key = leaf * 2 ** 20 + (subleaf & 0xf_ffff); // exact up to 53 bits; odd subleaves beyond 20 bits share a row
        const row = leaves.get(key) ?? { leaf, subleaf, count: 0, firstMs: now() };
        row.count += 1;
        if (leaves.size < MOST) leaves.set(key, row);
        return;
      }
      const row = msrs.get(event.index) ?? {
        index: event.index,
        reads: 0,
        writes: 0,
        faults: 0,
        firstMs: now(),
      };
      row[event.kind === 'rdmsr' ? 'reads' : 'writes'] += 1;
      if (event.fault !== undefined) row.faults += 1;
      if (msrs.size < MOST) msrs.set(event.index, row);
    },
    tally: () => ({
      cpuid: { total, scan, leaves: [...leaves.values()].map((row) => ({ ...row })) },
      msr: [...msrs.values()].map((row) => ({ ...row })),
    }),
  };
}

/** Whether a leaf is a step of the scan: 40000000H to 4000FF00H by 100H. */
export function isScanStep(leaf: number): boolean {
  return leaf >= 0x4000_0000 && leaf <= 0x4000_ff00 && (leaf & 0xff) === 0;
}
