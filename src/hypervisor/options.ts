/** The options of `commonhv`, and the refusal of contradictions. */
import { hex, type SyncCpu, u32 } from '../cpu.ts';
import type { Draft, Tuple } from '../spec/index.ts';
import {
  DEFAULT_GENERATION_MSR,
  DEFAULT_RNG_MSR,
  decodeSignature,
  encodeSignature,
  MAX_INTERFACES,
  ownedMsrs,
} from '../spec/index.ts';
import type { Source } from './source.ts';
import type { SourceFailure } from './values.ts';

/** The treatment of guest input: refused with #GP, dropped, or mixed into the values that the guest reads. */
export type RngInput = 'none' | 'ignore' | 'mix';

/** MSR_COMMONHV_RNG, and where its values come from ("CommonHV RNG" in drafts 1 and 2, "The RNG" in draft 3). */
export interface RngOptions {
  /** MSR_COMMONHV_RNG; 400000A0H by default. */
  readonly msr?: number;
  /** Where random bytes come from: `systemSource()`, or one of a test's. The leaves repeat its own statement. */
  readonly source: Source;
  /** `none` by default in drafts 2 and 3, `ignore` in draft 1, which has to accept guest input. */
  readonly input?: RngInput;
  /**
   * When the source fails: `generator`, by default, goes on with HMAC_DRBG, seeded by the source while it was well; `stop`
   * ends the machine with a MachineError.
   */
  readonly fallback?: 'generator' | 'stop';
  /** Called once, before the next value is served, when the source fails. An exception from it ends the machine. */
  readonly onFailure?: (failure: SourceFailure) => void;
}

/** MSR_COMMONHV_GENERATION: one value a machine, another after each restore (draft 3, "The generation"). */
export interface GenerationOptions {
  /** MSR_COMMONHV_GENERATION; 400000A1H by default. */
  readonly msr?: number;
  /** Called once when the machine starts and once a restore; a new unsigned 64-bit value each time. */
  readonly next: () => bigint;
}

/** The hypervisor's offer to its guest; the leaves follow from it. */
export interface CommonhvOptions {
  /** 3 by default. */
  readonly draft?: Draft;
  /** CPUID.1.ECX bit 31: set by default; `false` clears it, for guests that cannot live with it. */
  readonly hypervisorBit?: boolean;
  /** The paravirtual interfaces to advertise, at most 256, the preferred ones first; a scan finds those of the host CPU. */
  readonly interfaces?: readonly Tuple[];
  /** Draft 3: which of `interfaces` is preferred, counted from 1. */
  readonly preferred?: number;
  /** Without it no RNG is offered. */
  readonly rng?: RngOptions;
  /** Draft 3; without it no generation register is offered. */
  readonly generation?: GenerationOptions;
  /**
   * With an interface "XenVMMXenVMM": the MSR of Xen's hypercall page as Xen's leaves give it (CPUID.base+2.EBX), which
   * says which of Xen's two ranges of MSRs is in use. Where it is not given, the layer reads the host CPU's leaves.
   */
  readonly xenPage?: number;
}

export type ResolvedRng = Required<Omit<RngOptions, 'onFailure'>> & Pick<RngOptions, 'onFailure'>;

/** Options that have been checked, defaults filled in. */
export interface ResolvedOptions {
  readonly draft: Draft;
  readonly hypervisorBit: boolean;
  readonly interfaces: readonly Tuple[];
  readonly preferred: number;
  readonly rng: ResolvedRng | undefined;
  readonly generation: Required<GenerationOptions> | undefined;
  readonly xenPage: number | undefined;
}

const XEN = 'XenVMMXenVMM';
const NULS = '\0'.repeat(12);

/** Throws a TypeError or RangeError whose message begins with the option's name. */
export function resolve(options: CommonhvOptions): ResolvedOptions {
  object(options, 'options');
  const draft = options.draft ?? 3;
  if (draft !== 1 && draft !== 2 && draft !== 3)
    throw new RangeError(`draft: expected 1, 2 or 3, got ${draft}`);
  const interfaces = resolveInterfaces(options.interfaces ?? [], draft);
  if (options.rng !== undefined) object(options.rng, 'rng');
  if (options.generation !== undefined) object(options.generation, 'generation');
  const described: ResolvedOptions = {
    draft,
    hypervisorBit: boolean(options.hypervisorBit ?? true, 'hypervisorBit'),
    interfaces,
    preferred: resolvePreferred(options.preferred, interfaces.length, draft),
    rng: options.rng && resolveRng(options.rng, draft),
    generation: options.generation && resolveGeneration(options.generation, draft),
    xenPage: options.xenPage === undefined ? undefined : u32(options.xenPage, 'xenPage'),
  };
  const { rng, generation } = described;
  if (rng && generation && rng.msr === generation.msr) {
    throw new RangeError(`generation.msr: ${hex(generation.msr)} is rng.msr already`);
  }
  // Xen's range may show only in the host CPU's leaves, which are not known yet: `checkXen` checks again.
  refuseOwned(
    described,
    (signature) => signature !== XEN || described.xenPage !== undefined,
    described.xenPage,
  );
  return described;
}

/** The second check of Xen's two possible ranges, by the host CPU's leaves: throws as `describe` does. */
export function checkXen(described: ResolvedOptions, host: SyncCpu): void {
  const xen = described.interfaces.find(({ signature }) => signature === XEN);
  if (xen === undefined || described.xenPage !== undefined) return;
  // xen/include/public/arch-x86/cpuid.h: base + 2, EBX: "base address of Xen-specific MSRs" (the hypercall page's)
  const confirmed = decodeSignature(host.cpuid(xen.location, 0)) === XEN && xen.location <= 0xffff_fffd;
  const page = confirmed ? host.cpuid(xen.location + 2, 0).ebx : undefined;
  refuseOwned(described, (signature) => signature === XEN, page);
}

function object(value: unknown, name: string): void {
  if (typeof value !== 'object' || value === null)
    throw new TypeError(`${name}: expected an object, got ${value}`);
}

function boolean(value: unknown, name: string): boolean {
  if (typeof value !== 'boolean') throw new TypeError(`${name}: expected true or false, got ${value}`);
  return value;
}

function resolveInterfaces(interfaces: readonly Tuple[], draft: Draft): readonly Tuple[] {
  if (!Array.isArray(interfaces)) throw new TypeError(`interfaces: expected an array, got ${interfaces}`);
  if (interfaces.length > MAX_INTERFACES) {
    throw new RangeError(`interfaces: expected at most ${MAX_INTERFACES}, got ${interfaces.length}`);
  }
  return interfaces.map((tuple: Tuple, i) => {
    object(tuple, `interfaces[${i}]`);
    const { signature, location } = tuple;
    u32(location, `interfaces[${i}].location`);
    if (typeof signature !== 'string') throw new TypeError(`interfaces[${i}].signature: expected a string`);
    try {
      encodeSignature(signature);
    } catch (cause) {
      throw new RangeError(`interfaces[${i}].${(cause as Error).message}`, { cause });
    }
    // A draft 1 guest takes the first tuple of zeros for the end of the list.
    if (draft === 1 && signature === NULS) {
      throw new RangeError(`interfaces[${i}].signature: draft 1 cannot express a signature of twelve NULs`);
    }
    return { signature, location };
  });
}

function resolvePreferred(preferred: number | undefined, count: number, draft: Draft): number {
  if (preferred === undefined) return 0;
  if (draft !== 3)
    throw new TypeError(`preferred: draft ${draft} prefers by order alone, draft 3 has an index`);
  if (!Number.isInteger(preferred) || preferred < 1 || preferred > count) {
    const range = count === 0 ? 'none, as there are no interfaces' : `1 to ${count}`;
    throw new RangeError(`preferred: expected ${range}, got ${preferred}`);
  }
  return preferred;
}

function resolveRng(options: RngOptions, draft: Draft): ResolvedRng {
  const { source, msr = DEFAULT_RNG_MSR, input = draft === 1 ? 'ignore' : 'none' } = options;
  const { fallback = 'generator', onFailure } = options;
  if (typeof source?.fill !== 'function')
    throw new TypeError('rng.source: expected a source with fill(bytes)');
  if (typeof source.name !== 'string') throw new TypeError('rng.source: expected a source with a name');
  if (source.secure !== undefined) boolean(source.secure, 'rng.source.secure');
  if (source.deterministic && source.secure) {
    throw new TypeError(`rng.source: ${source.name} calls itself both deterministic and secure`);
  }
  u32(msr, 'rng.msr');
  if (draft === 1 && msr === 0) throw new RangeError('rng.msr: index 0 means no RNG in draft 1');
  if (input !== 'none' && input !== 'ignore' && input !== 'mix') {
    throw new RangeError(`rng.input: expected none, ignore or mix, got ${input}`);
  }
  // Draft 1: "wrmsr to MSR_COMMONHV_RNG MUST NOT result in an exception"
  if (draft === 1 && input === 'none') {
    throw new TypeError('rng.input: draft 1 has to accept what guests write; ignore drops it');
  }
  if (fallback !== 'generator' && fallback !== 'stop') {
    throw new RangeError(`rng.fallback: expected generator or stop, got ${fallback}`);
  }
  if (onFailure !== undefined && typeof onFailure !== 'function') {
    throw new TypeError('rng.onFailure: expected a function');
  }
  return { source, msr, input, fallback, ...(onFailure && { onFailure }) };
}

function resolveGeneration(options: GenerationOptions, draft: Draft): Required<GenerationOptions> {
  if (draft !== 3) throw new TypeError(`generation: draft ${draft} has no generation register, draft 3 has`);
  const { msr = DEFAULT_GENERATION_MSR, next } = options;
  if (typeof next !== 'function') throw new TypeError('generation.next: expected a function');
  return { msr: u32(msr, 'generation.msr'), next };
}

function refuseOwned(
  { interfaces, rng, generation }: ResolvedOptions,
  asked: (signature: string) => boolean,
  xenPage: number | undefined,
): void {
  const claims = [
    { option: 'rng.msr', msr: rng?.msr },
    { option: 'generation.msr', msr: generation?.msr },
  ];
  for (const { signature } of interfaces.filter((tuple) => asked(tuple.signature))) {
    for (const { option, msr } of claims) {
      const owner = ownedMsrs(signature, xenPage).find(
        ({ first, last }) => msr !== undefined && msr >= first && msr <= last,
      );
      if (owner === undefined || msr === undefined) continue;
      throw new RangeError(
        `${option}: ${hex(msr)} belongs to ${JSON.stringify(signature)}, which owns ${hex(owner.first)} to ${hex(owner.last)}`,
      );
    }
  }
}
