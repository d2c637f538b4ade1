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
import { flawOf } from '../spec/values.ts';
import type { Discovery, Rng } from './discover.ts';
import { discover } from './discover.ts';

/** How many values are read: 512 bits, twice Linux' own limit for being seeded. */
export const SEED_VALUES = 8;

/**
 * Why there are no values to seed from. `fault`: reading the RNG raised one; `stuck`, `patterned`: the values
 * cannot be random (`flawOf` in commonhv/spec); `changing`: the generation was another after each of four attempts.
 */
export type Refusal = 'no-commonhv' | 'no-rng' | 'fault' | 'stuck' | 'patterned' | 'changing';

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
  /** The generation before and after the reads; `undefined` where none is offered. `acknowledge` takes it. */
  readonly generation: bigint | undefined;
  /** How many bits of entropy they may be credited: 0, or 64 a value and at most 256 for each start and each new generation. */
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
  readonly values?: number | undefined;
  /** An earlier result of `discover`, to spare its CPUIDs: the leaves never change while a machine lives. */
  readonly discovery?: Discovery | undefined;
}

/** "At most 64 bits a value and 256 bits for each start and each new generation." */
const MAX_CREDIT = 256;
/** How often the values are read anew because the generation changed meanwhile. */
const MAX_ATTEMPTS = 4;

/**
 * Reads the RNG of the processor's hypervisor, several values in a row, between two reads of the generation: where it changed, the
 * machine was restored meanwhile, and the values are discarded. Never writes to the RNG: "guests SHOULD NOT write
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
  const read = await readValues(cpu, discovery.rng.msr, discovery.generation?.msr, count);
  if (typeof read === 'string') return { outcome: read, discovery };
  const { values, generation } = read;
  const refusal = refusalOf(values);
  if (refusal !== undefined) return { outcome: refusal, discovery };
  const reason = await reasonFor(cpu, discovery, discovery.rng);
  const bytes = new Uint8Array(8 * count);
  const view = new DataView(bytes.buffer);
  for (const [i, value] of values.entries()) view.setBigUint64(8 * i, value, true);
  const credit = reason === 'secure' ? Math.min(64 * count, MAX_CREDIT) : 0;
  return { outcome: 'values', bytes, generation, credit, reason, discovery };
}

/** Generation, values, generation: until both reads of it agree. */
async function readValues(
  cpu: Cpu,
  rngMsr: number,
  generationMsr: number | undefined,
  count: number,
): Promise<{ values: bigint[]; generation: bigint | undefined } | 'fault' | 'changing'> {
  // A register that faults tells nothing of copies, and does not make the values worse.
  const readGeneration = async () => {
    const value = generationMsr === undefined ? undefined : await cpu.rdmsr(generationMsr);
    return typeof value === 'bigint' ? value : undefined;
  };
  let before = await readGeneration();
  for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
    const values: bigint[] = [];
    for (let i = 0; i < count; i++) {
      const value = await cpu.rdmsr(rngMsr);
      // "MUST NOT result in an exception": nested, the leaves may be those of a hypervisor whose MSRs are out of reach.
      if (typeof value !== 'bigint') return 'fault';
      values.push(value);
    }
    const after = await readGeneration();
    if (after === before) return { values, generation: before };
    before = after;
  }
  return 'changing';
}

/** A counter's high lanes never change either: it is called patterned. */
function refusalOf(values: readonly bigint[]): 'stuck' | 'patterned' | undefined {
  const flaw = flawOf(values);
  if (flaw === undefined) return undefined;
  const step = values[1]! - values[0]!;
  const counts =
    flaw.kind !== 'repeated' && values.every((value, i) => i === 0 || value - values[i - 1]! === step);
  return flaw.kind === 'step' || counts ? 'patterned' : 'stuck';
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
