/** Discovery as a guest does it: CPUID 4F000000H and up, any draft, trusting no answer. */
import type { Cpu } from '../cpu.ts';
import type { Draft, Tuple } from '../spec/leaves.ts';
import {
  decodeCount,
  decodeFeatures,
  decodeMsrLeaf,
  decodeRngIndex,
  decodeRoot,
  decodeTuple,
  LEAF_FEATURES,
  LEAF_INTERFACES,
  LEAF_MSRS,
  LEAF_ROOT,
  MAX_INTERFACES,
  ZEROS,
} from '../spec/leaves.ts';
import { decodeSignature } from '../spec/signature.ts';
import { whichDraft } from '../spec/which.ts';
import { unsigned } from './unsigned.ts';

/** A tuple of the list, and whether CPUID at its location spells its signature. */
export interface Listed extends Tuple {
  /** Not confirmed is no error: whether the location answers "is left to the specification" of that interface. */
  readonly confirmed: boolean;
}

/** The RNG as it is advertised. */
export interface Rng {
  /** MSR_COMMONHV_RNG, an unsigned 32-bit MSR index; 0 is one. */
  readonly msr: number;
  /** Whether the hypervisor takes the guest's writes without an exception. */
  readonly input: boolean;
  /** The hypervisor's statement about its values (draft 3); `undefined`: none. */
  readonly secure: boolean | undefined;
}

/** The machine as CommonHV describes it. */
export interface Discovery {
  /** `undefined` where every reading gives no interface and no RNG. */
  readonly draft: Draft | undefined;
  /** max_commonhv_leaf, 4F000000H to 4FFFFFFFH. */
  readonly maxLeaf: number;
  /** Draft 3: the preferred tuple, 1 to `interfaces.length`; `undefined`: the first is preferred. */
  readonly preferred: number | undefined;
  /** In the hypervisor's order, at most MAX_INTERFACES of them whatever it claims. */
  readonly interfaces: readonly Listed[];
  /** `undefined`: none is offered, or max_commonhv_leaf does not reach its register's leaf. */
  readonly rng: Rng | undefined;
  /** Draft 3: MSR_COMMONHV_GENERATION, which changes when the machine starts or is restored; never the RNG's index. */
  readonly generation: OfferedGeneration | undefined;
}

/** The generation as it is advertised. */
export interface OfferedGeneration {
  /** MSR_COMMONHV_GENERATION; 0 is an index. */
  readonly msr: number;
  /** Feature bit 4: WRMSR of the current value acknowledges it. */
  readonly ack: boolean;
  /** Feature bit 3: MSR_COMMONHV_GENERATION_PAGE; `undefined` where no page is offered, or at an index that is another's. */
  readonly pageMsr: number | undefined;
}

/**
 * Asks a processor for CommonHV; `undefined` where the twelve bytes or the range of max_commonhv_leaf are not right. The
 * hypervisor bit is not asked: it may be hidden. Executes at most N + 4 CPUIDs for N tuples, and N more to confirm them.
 */
export async function discover(given: Cpu): Promise<Discovery | undefined> {
  const cpu = unsigned(given);
  const maxLeaf = decodeRoot(await cpu.cpuid(LEAF_ROOT, 0));
  if (maxLeaf === undefined) return undefined;
  // "Any leaves described in this specification with EAX values that exceed max_commonhv_leaf MUST be handled by
  // guests as though they contain all zeros." (draft 1, "Discovery")
  const ask = (leaf: number, subleaf = 0) => (leaf > maxLeaf ? ZEROS : cpu.cpuid(leaf, subleaf));
  const first = await ask(LEAF_INTERFACES);
  const features = await ask(LEAF_FEATURES);
  const draft = whichDraft({ maxLeaf, interfaces: first, features });
  const none = {
    draft,
    maxLeaf,
    preferred: undefined,
    interfaces: [],
    rng: undefined,
    generation: undefined,
  };
  if (draft === undefined) return none;
  if (draft === 1) {
    const msr = decodeRngIndex(features);
    // Draft 1 always accepts writes and states nothing.
    const rng = msr === undefined ? undefined : { msr, input: true, secure: undefined };
    return { ...none, interfaces: await confirm(cpu, await untilZeros(cpu, decodeTuple(first))), rng };
  }
  const { count, preferred } = decodeCount(first);
  const tuples: Tuple[] = [];
  // READING: draft 2 says "for each 1 < i <= N", which would leave tuple 1 undefined; we take 1 <= i <= N.
  for (let i = 1; i <= Math.min(count, MAX_INTERFACES); i++) {
    tuples.push(decodeTuple(await ask(LEAF_INTERFACES, i)));
  }
  return {
    ...none,
    // READING: an index beyond MAX_INTERFACES names a tuple that we do not read, so it is none, as one beyond N is.
    preferred: draft === 3 && preferred >= 1 && preferred <= tuples.length ? preferred : undefined,
    interfaces: await confirm(cpu, tuples),
    // Where a feature bit is set and max_commonhv_leaf is too small for its register, the register is not there.
    ...(maxLeaf >= LEAF_MSRS ? registers(draft, features, await ask(LEAF_MSRS)) : {}),
  };
}

function registers(
  draft: Draft,
  features: typeof ZEROS,
  regs: typeof ZEROS,
): Pick<Discovery, 'rng' | 'generation'> {
  const has = decodeFeatures(features);
  const at = decodeMsrLeaf(regs);
  // Draft 2 reserves the registers that draft 3 defines: ignored there.
  const secure = draft === 3 ? at.secure : undefined;
  const rng = has.rng ? { msr: at.rng, input: has.rngInput, secure } : undefined;
  // MSR_COMMONHV_GENERATION is "another index than the RNG's": one register cannot be both.
  const generation = draft === 3 && has.generation && at.generation !== rng?.msr;
  const page = has.page && at.page !== at.generation && at.page !== rng?.msr;
  const pageMsr = page ? at.page : undefined;
  return { rng, generation: generation ? { msr: at.generation, ack: has.ack, pageMsr } : undefined };
}

/** Draft 1 gives no count: "CPUID with EAX = 0x4F000001 and ECX >= N MUST return all zeros". */
async function untilZeros(cpu: Cpu, first: Tuple): Promise<Tuple[]> {
  const tuples: Tuple[] = [];
  for (let tuple = first; tuple.location !== 0 || /[^\0]/.test(tuple.signature); ) {
    tuples.push(tuple);
    if (tuples.length === MAX_INTERFACES) break;
    tuple = decodeTuple(await cpu.cpuid(LEAF_INTERFACES, tuples.length));
  }
  return tuples;
}

async function confirm(cpu: Cpu, tuples: readonly Tuple[]): Promise<Listed[]> {
  const listed: Listed[] = [];
  for (const tuple of tuples) {
    const there = decodeSignature(await cpu.cpuid(tuple.location, 0));
    listed.push({ ...tuple, confirmed: there === tuple.signature });
  }
  return listed;
}
