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

export const ZEROS: Regs = { eax: 0, ebx: 0, ecx: 0, edx: 0 };

// "Discovery": "the hypervisor bit (bit 31 in CPUID.1H.0H.ECX)"
export const LEAF_BASIC = 0x0000_0001;
export const HYPERVISOR_BIT = (1 << 31) >>> 0;

/** The same registers with the hypervisor bit set or cleared. */
export function withHypervisorBit(regs: Regs, on: boolean): Regs {
  const { eax, ebx, edx } = regs; // one by one: a guest waits for this, and a spread takes longer
  const ecx = on ? regs.ecx | HYPERVISOR_BIT : regs.ecx & ~HYPERVISOR_BIT;
  return { eax, ebx, ecx: ecx >>> 0, edx };
}

export function hasHypervisorBit(regs: Regs): boolean {
  return (regs.ecx & HYPERVISOR_BIT) !== 0;
}

// "Discovery": leaf 4F000000H; "max_commonhv_leaf MUST be a number between 0x4F000000 and 0x4FFFFFFF"
export const LEAF_ROOT = 0x4f00_0000;
export const LEAF_LAST = 0x4fff_ffff;
export const SIGNATURE = 'CommonHVIntf';

export function encodeRoot(maxLeaf: number): Regs {
  return { eax: maxLeaf, ...encodeSignature(SIGNATURE) };
}

/** max_commonhv_leaf, or `undefined` where the twelve bytes or the range of the leaf say that this is not CommonHV. */
export function decodeRoot(regs: Regs): number | undefined {
  if (decodeSignature(regs) !== SIGNATURE) return undefined;
  return regs.eax >= LEAF_ROOT && regs.eax <= LEAF_LAST ? regs.eax : undefined;
}

// "CPUID leaf 4F000001H: hypervisor interface enumeration"
export const LEAF_INTERFACES = 0x4f00_0001;

/** Not the draft's number: what bounds a guest against a hostile count, and as many as the old scan has slots. */
export const MAX_INTERFACES = 256;

export function encodeTuple({ location, signature }: Tuple): Regs {
  return { eax: location, ...encodeSignature(signature) };
}

export function decodeTuple(regs: Regs): Tuple {
  return { signature: decodeSignature(regs), location: regs.eax };
}

/** Subleaf 0 in drafts 2 and 3: how many tuples, and (draft 3) which one is preferred: 1 to `count`, 0 for none. */
export interface Count {
  readonly count: number;
  readonly preferred: number;
}

export function encodeCount({ count, preferred }: Count): Regs {
  return { eax: count, ebx: preferred, ecx: 0, edx: 0 };
}

/** As the registers say it, unbounded: a reader bounds `count` and takes a `preferred` beyond it for none. */
export function decodeCount(regs: Regs): Count {
  return { count: regs.eax, preferred: regs.ebx };
}

// "CPUID leaf 4F000002H": draft 1 "miscellaneous features", drafts 2 and 3 a mask of features
export const LEAF_FEATURES = 0x4f00_0002;
export const FEATURE_RNG = 1 << 0; // EAX bit 0: the RNG is available
export const FEATURE_RNG_INPUT = 1 << 1; // EAX bit 1: the RNG accepts guest input
export const FEATURE_GENERATION = 1 << 2; // EAX bit 2, draft 3: the generation register is available

/** Draft 1: "If CPUID.4F000002H.EAX is nonzero, then it contains an MSR index"; `undefined` for none. */
export function encodeRngIndex(msr: number | undefined): Regs {
  return { ...ZEROS, eax: msr ?? 0 };
}

export function decodeRngIndex(regs: Regs): number | undefined {
  return regs.eax === 0 ? undefined : regs.eax;
}

export interface Features {
  readonly rng: boolean;
  readonly rngInput: boolean;
  /** Draft 3. */
  readonly generation: boolean;
  /** Draft 3: EBX is the draft's number; 0 in draft 2, which reserves it. */
  readonly draft: number;
}

export function encodeFeatures({ rng, rngInput, generation, draft }: Features): Regs {
  const eax =
    (rng ? FEATURE_RNG : 0) | (rngInput ? FEATURE_RNG_INPUT : 0) | (generation ? FEATURE_GENERATION : 0);
  return { eax, ebx: draft, ecx: 0, edx: 0 };
}

export function decodeFeatures(regs: Regs): Features {
  return {
    rng: (regs.eax & FEATURE_RNG) !== 0,
    rngInput: (regs.eax & FEATURE_RNG_INPUT) !== 0,
    generation: (regs.eax & FEATURE_GENERATION) !== 0,
    draft: regs.ebx,
  };
}

// Leaf 4F000003H: where the registers are (drafts 2 and 3), and what is said of the words (draft 3)
export const LEAF_REGISTERS = 0x4f00_0003;
export const RNG_SECURE = 1 << 0; // EBX bit 0: cryptographically secure, for the machine's whole life
export const RNG_INSECURE = 1 << 1; // EBX bit 1: certainly not

export interface Registers {
  /** MSR_COMMONHV_RNG, meaningful only where the feature bit is set: 0 is an index. */
  readonly rng: number;
  /** MSR_COMMONHV_GENERATION, likewise (draft 3). */
  readonly generation: number;
  /** What the hypervisor says of its words (draft 3); `undefined`: no statement. */
  readonly secure: boolean | undefined;
}

export function encodeRegisters({ rng, generation, secure }: Registers): Regs {
  const ebx = secure === undefined ? 0 : secure ? RNG_SECURE : RNG_INSECURE;
  return { eax: rng, ebx, ecx: generation, edx: 0 };
}

export function decodeRegisters(regs: Regs): Registers {
  const yes = (regs.ebx & RNG_SECURE) !== 0;
  const no = (regs.ebx & RNG_INSECURE) !== 0;
  return { rng: regs.eax, generation: regs.ecx, secure: yes === no ? undefined : yes };
}
