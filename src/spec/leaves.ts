/** CommonHV drafts 1, 2 and 3: every CPUID number and every codec, in the order of the texts. */
import type { Regs } from '../cpu.ts';
import { decodeSignature, encodeSignature } from './signature.ts';

/** 1 and 2: the public drafts of October 2014; 3: this project's proposal, `docs/draft3.md`. */
export type Draft = 1 | 2 | 3;

/** Another paravirtual interface: "a list of tuples (location, signature)" (drafts 1 and 2, leaf 4F000001H). */
export interface Tuple {
  /** Twelve bytes as Latin-1 characters, NULs included. */
  readonly signature: string;
  /** The CPUID leaf at which the interface begins, unsigned 32-bit. */
  readonly location: number;
}

/** All four registers 0: guests treat a described leaf above max_commonhv_leaf like this ("Discovery"). */
export const ZEROS: Regs = { eax: 0, ebx: 0, ecx: 0, edx: 0 };

/** "Discovery": "the hypervisor bit (bit 31 in CPUID.1H.0H.ECX)": its leaf. */
export const LEAF_BASIC = 0x0000_0001;
/** The mask of that bit in ECX. Processors without a hypervisor answer 0 (SDM volume 2, CPUID). */
export const HYPERVISOR_BIT = (1 << 31) >>> 0;

/** CPUID.1H.0H's registers, with the hypervisor bit set or cleared; the others as they were. */
export function withHypervisorBit(regs: Regs, on: boolean): Regs {
  const { eax, ebx, edx } = regs; // one by one: a guest waits for this, and a spread takes longer
  const ecx = on ? regs.ecx | HYPERVISOR_BIT : regs.ecx & ~HYPERVISOR_BIT;
  return { eax, ebx, ecx: ecx >>> 0, edx };
}

/** Whether CPUID.1H.0H, whose registers these are, has the hypervisor bit set. */
export function hasHypervisorBit(regs: Regs): boolean {
  return (regs.ecx & HYPERVISOR_BIT) !== 0;
}

/** "Discovery": the leaf by which CommonHV is found, and the first of its range. */
export const LEAF_ROOT = 0x4f00_0000;
/** The last of its range: "max_commonhv_leaf MUST be a number between 0x4F000000 and 0x4FFFFFFF". */
export const LEAF_LAST = 0x4fff_ffff;
/** "Discovery": the twelve bytes in EBX, ECX and EDX of the root leaf. */
export const SIGNATURE = 'CommonHVIntf';

/** CPUID.4F000000H.0 ("Discovery"); `maxLeaf`, 4F000000H to 4FFFFFFFH, is not checked. */
export function encodeRoot(maxLeaf: number): Regs {
  return { eax: maxLeaf, ...encodeSignature(SIGNATURE) };
}

/** max_commonhv_leaf, or `undefined` where the twelve bytes or the range of the leaf say that this is not CommonHV. */
export function decodeRoot(regs: Regs): number | undefined {
  if (decodeSignature(regs) !== SIGNATURE) return undefined;
  return regs.eax >= LEAF_ROOT && regs.eax <= LEAF_LAST ? regs.eax : undefined;
}

/** "CPUID leaf 4F000001H: hypervisor interface enumeration". */
export const LEAF_INTERFACES = 0x4f00_0001;

/** Not the draft's number: bounds a guest against a hostile count; as many as the scan has slots. */
export const MAX_INTERFACES = 256;

/** A tuple's subleaf of 4F000001H. Throws a RangeError for a signature that is not twelve characters of one byte each. */
export function encodeTuple({ location, signature }: Tuple): Regs {
  return { eax: location, ...encodeSignature(signature) };
}

/** The tuple in a subleaf of 4F000001H. Any registers make one: whether it counts is for the reader to say. */
export function decodeTuple(regs: Regs): Tuple {
  return { signature: decodeSignature(regs), location: regs.eax };
}

/** Subleaf 0 in drafts 2 and 3: how many tuples there are, and (draft 3) which one is preferred. */
export interface Count {
  /** N, unsigned 32-bit. */
  readonly count: number;
  /** Counted from 1, as the subleaves are; 0, and anything above `count`: order alone tells. Draft 2 reserves it: 0. */
  readonly preferred: number;
}

/** CPUID.4F000001H.0 in drafts 2 and 3; ECX and EDX are reserved, 0. */
export function encodeCount({ count, preferred }: Count): Regs {
  return { eax: count, ebx: preferred, ecx: 0, edx: 0 };
}

/** As the registers say it, unbounded: a reader bounds `count` and takes a `preferred` beyond it for 0. */
export function decodeCount(regs: Regs): Count {
  return { count: regs.eax, preferred: regs.ebx };
}

/**
 * The preferred one of a list of tuples; `undefined` for an empty list. `preferred`: counted from 1, as CPUID.4F000001H.EBX has
 * it. 0, `undefined` and anything beyond the list mean that order alone tells: the first is preferred.
 */
export function preferredTuple<T>(tuples: readonly T[], preferred: number | undefined): T | undefined {
  return tuples[(preferred ?? 0) - 1] ?? tuples[0];
}

/** "CPUID leaf 4F000002H: miscellaneous features" in draft 1; in drafts 2 and 3 "CommonHV features", a mask in EAX. */
export const LEAF_FEATURES = 0x4f00_0002;
/** EAX bit 0, drafts 2 and 3: the RNG is available. */
export const FEATURE_RNG = 1 << 0;
/** EAX bit 1, drafts 2 and 3: the RNG accepts guest input. */
export const FEATURE_RNG_INPUT = 1 << 1;
/** EAX bit 2, draft 3: the generation register is available. */
export const FEATURE_GENERATION = 1 << 2;
/** EAX bit 3, draft 3: the generation page is available; needs bit 2. */
export const FEATURE_PAGE = 1 << 3;
/** EAX bit 4, draft 3: WRMSR of the current generation acknowledges it; needs bit 2. */
export const FEATURE_ACK = 1 << 4;

/** Draft 1: "If CPUID.4F000002H.EAX is nonzero, then it contains an MSR index"; `undefined` for none, as which 0 reads too. */
export function encodeRngIndex(msr: number | undefined): Regs {
  return { ...ZEROS, eax: msr ?? 0 };
}

/** Draft 1's MSR index of the RNG, unsigned 32-bit; `undefined` where EAX is 0: there is none. */
export function decodeRngIndex(regs: Regs): number | undefined {
  return regs.eax === 0 ? undefined : regs.eax;
}

/** CPUID.4F000002H.0 in drafts 2 and 3, decoded. */
export interface Features {
  /** EAX bit 0: the RNG is available. */
  readonly rng: boolean;
  /** EAX bit 1: it accepts guest input; means nothing without bit 0. */
  readonly rngInput: boolean;
  /** EAX bit 2, draft 3: the generation register is available. */
  readonly generation: boolean;
  /** EAX bit 3, draft 3: the generation page is available; means nothing without bit 2. */
  readonly page: boolean;
  /** EAX bit 4, draft 3: the guest can acknowledge a generation; means nothing without bit 2. */
  readonly ack: boolean;
  /** Draft 3: EBX is the draft's number; 0 in draft 2, which reserves it. */
  readonly draft: number;
}

/** CPUID.4F000002H.0 in drafts 2 and 3; every other bit and register is reserved, 0. */
export function encodeFeatures({ rng, rngInput, generation, page, ack, draft }: Features): Regs {
  const eax =
    (rng ? FEATURE_RNG : 0) |
    (rngInput ? FEATURE_RNG_INPUT : 0) |
    (generation ? FEATURE_GENERATION : 0) |
    (page ? FEATURE_PAGE : 0) |
    (ack ? FEATURE_ACK : 0);
  return { eax, ebx: draft, ecx: 0, edx: 0 };
}

/** As the registers say it: reserved bits are ignored, and nothing is checked against anything else. */
export function decodeFeatures(regs: Regs): Features {
  return {
    rng: (regs.eax & FEATURE_RNG) !== 0,
    rngInput: (regs.eax & FEATURE_RNG_INPUT) !== 0,
    generation: (regs.eax & FEATURE_GENERATION) !== 0,
    page: (regs.eax & FEATURE_PAGE) !== 0,
    ack: (regs.eax & FEATURE_ACK) !== 0,
    draft: regs.ebx,
  };
}

/** "MSR leaf", 4F000003H: the MSR indices (drafts 2 and 3), and the statement about the random values (draft 3). */
export const LEAF_MSRS = 0x4f00_0003;
/** EBX bit 0, draft 3: the values are cryptographically secure, for the machine's whole life. */
export const RNG_SECURE = 1 << 0;
/** EBX bit 1, draft 3: they are certainly not. Neither bit, or both: no statement. */
export const RNG_INSECURE = 1 << 1;

/** CPUID.4F000003H.0 in the draft's terms: indices are unsigned 32-bit, each meaningful only where its feature bit is set. */
export interface MsrLeaf {
  /** EAX: MSR_COMMONHV_RNG; 0 is an index. */
  readonly rng: number;
  /** ECX, draft 3: MSR_COMMONHV_GENERATION. */
  readonly generation: number;
  /** EDX, draft 3: MSR_COMMONHV_GENERATION_PAGE. */
  readonly page: number;
  /** EBX, draft 3: the statement about the random values; `undefined`: none. */
  readonly secure: boolean | undefined;
}

/** CPUID.4F000003H.0; for draft 2 only `rng` is given, the rest is 0 and `undefined`, as it reserves EBX, ECX and EDX. */
export function encodeMsrLeaf({ rng, generation, page, secure }: MsrLeaf): Regs {
  const ebx = secure === undefined ? 0 : secure ? RNG_SECURE : RNG_INSECURE;
  return { eax: rng, ebx, ecx: generation, edx: page };
}

/** As draft 3 reads the leaf; of draft 2 only `rng` counts. Feature bits alone say which of the MSRs are there. */
export function decodeMsrLeaf(regs: Regs): MsrLeaf {
  const yes = (regs.ebx & RNG_SECURE) !== 0;
  const no = (regs.ebx & RNG_INSECURE) !== 0;
  return { rng: regs.eax, generation: regs.ecx, page: regs.edx, secure: yes === no ? undefined : yes };
}
