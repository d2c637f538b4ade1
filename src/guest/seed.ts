/** Seeding: read values from the RNG, refuse those that cannot be random, and say how many bits they may be credited. */
import type { Cpu } from '../cpu.ts';
import { KNOWN_VENDORS } from '../spec/known.ts';
import {
  LEAF_MAX_BASIC,
  LEAF_MAX_EXTENDED,
  LEAF_MEMORY_ENCRYPTION,
  LEAF_TDX,
  MSR_SEV_STATUS,
  SEV_STATUS_SEV,
} from '../spec/other-interfaces.ts';
import { decodeSignature } from '../spec/signature.ts';
import type { Discovery, Rng } from './discover.ts';
import { discover } from './discover.ts';

/** How many values are read: 512 bits, twice Linux' own limit for being seeded. */
export const SEED_VALUES = 8;

/**
 * Why there are no values to seed from. `fault`: reading the RNG raised one; `stuck`: a value came twice; `patterned`: they
 * went up or down by equal steps.
 */
export type Refusal = 'no-commonhv' | 'no-rng' | 'fault' | 'stuck' | 'patterned';

/**
 * Why the values count for as much as they do; every reason but `secure` means 0 bits. `draft`: drafts 1 and 2 state
 * nothing; `no-statement`, `insecure`: draft 3's 4F000003H.EBX; `confidential`: a guest that must not trust its hypervisor.
 */
export type Reason = 'secure' | 'draft' | 'no-statement' | 'insecure' | 'confidential';

/** Values to seed from. They become the guest's secret: never shown, wiped by whoever used them. */
export interface Seed {
  readonly outcome: 'values';
  /** The values one after another, each 8 bytes, little-endian. */
  readonly bytes: Uint8Array;
  /** How many bits of entropy they may be credited, 0 to 8 times `bytes.length`. */
  readonly credit: number;
  /** The reason for `credit`. */
  readonly reason: Reason;
  /** Discovered, or taken from `options`. */
  readonly discovery: Discovery;
}

/** No values, and why. Values that were read before the refusal are not returned. */
export interface Unseeded {
  readonly outcome: Refusal;
  /** Discovered, or taken from `options`; `undefined` with `no-commonhv` alone. */
  readonly discovery: Discovery | undefined;
}

/** How `seed` reads. */
export interface SeedOptions {
  /** 2 to 512, default 8: fewer than two cannot be checked, and 512 fill Linux' pool many times over. */
  readonly values?: number;
  /** An earlier result of `discover`, to spare its CPUIDs: the leaves never change while a machine lives. */
  readonly discovery?: Discovery | undefined;
}

/**
 * Reads the RNG of the processor's hypervisor, several values in a row. Never writes to it: "guests SHOULD NOT write
 * sensitive values to wrmsr(MSR_COMMONHV_RNG)". Throws a RangeError for an option out of its range.
 */
export async function seed(cpu: Cpu, options: SeedOptions = {}): Promise<Seed | Unseeded> {
  const { values: count = SEED_VALUES } = options;
  if (!Number.isInteger(count) || count < 2 || count > 512) {
    throw new RangeError(`values: expected an integer from 2 to 512, got ${count}`);
  }
  const discovery = options.discovery ?? (await discover(cpu));
  if (discovery === undefined) return { outcome: 'no-commonhv', discovery };
  if (discovery.rng === undefined) return { outcome: 'no-rng', discovery };
  const values: bigint[] = [];
  for (let i = 0; i < count; i++) {
    const value = await cpu.rdmsr(discovery.rng.msr);
    // "MUST NOT result in an exception": nested, the leaves may be those of a hypervisor whose MSRs are out of reach.
    if (typeof value !== 'bigint') return { outcome: 'fault', discovery };
    values.push(value);
  }
  const flaw = flawOf(values);
  if (flaw !== undefined) return { outcome: flaw, discovery };
  const reason = await reasonFor(cpu, discovery, discovery.rng);
  const bytes = new Uint8Array(8 * count);
  const view = new DataView(bytes.buffer);
  for (const [i, value] of values.entries()) view.setBigUint64(8 * i, value, true);
  return { outcome: 'values', bytes, credit: reason === 'secure' ? 64 * count : 0, reason, discovery };
}

/**
 * Faults that show in a few values: one that comes twice, or each one step from the last. Random values do neither more often
 * than once in 2^46 seeds, and a generator that passes may still be a bad one: only its hypervisor can know.
 */
function flawOf(values: readonly bigint[]): 'stuck' | 'patterned' | undefined {
  if (new Set(values).size < values.length) return 'stuck';
  const steps = values.slice(1).map((value, i) => BigInt.asUintN(64, value - values[i]!));
  return steps.length > 1 && new Set(steps).size < steps.length ? 'patterned' : undefined;
}

async function reasonFor(cpu: Cpu, { draft }: Discovery, { secure }: Rng): Promise<Reason> {
  if (draft !== 3) return 'draft';
  if (secure === undefined) return 'no-statement';
  if (!secure) return 'insecure';
  return (await isConfidential(cpu)) ? 'confidential' : 'secure';
}

/**
 * Whether this is a guest that must not trust its hypervisor: Intel TDX (leaf 21H), or AMD SEV of any kind (SEV_STATUS). At
 * most three CPUIDs, and an RDMSR only where the processor knows of memory encryption.
 */
export async function isConfidential(cpu: Cpu): Promise<boolean> {
  const { eax: maxBasic } = await cpu.cpuid(LEAF_MAX_BASIC, 0);
  if (maxBasic >= LEAF_TDX) {
    const { ebx, ecx, edx } = await cpu.cpuid(LEAF_TDX, 0);
    const vendor = decodeSignature({ ebx, ecx: edx, edx: ecx });
    if (KNOWN_VENDORS.some(({ leaf, signature }) => leaf === LEAF_TDX && signature === vendor)) return true;
  }
  const { eax: maxExtended } = await cpu.cpuid(LEAF_MAX_EXTENDED, 0);
  // Asked only where the processor knows of memory encryption: elsewhere the index means nothing, or faults.
  if (maxExtended < LEAF_MEMORY_ENCRYPTION) return false;
  const status = await cpu.rdmsr(MSR_SEV_STATUS);
  return typeof status === 'bigint' && (status & SEV_STATUS_SEV) !== 0n;
}
