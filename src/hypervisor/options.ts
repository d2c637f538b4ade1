/** The options of `commonhv`, and the refusal of values that contradict each other or the draft. */
import { u32 } from '../cpu.ts';
import type { Draft, Tuple } from '../spec/index.ts';
import {
  DEFAULT_GENERATION_MSR,
  DEFAULT_PAGE_MSR,
  DEFAULT_RNG_MSR,
  encodeSignature,
  LEAF_LAST,
  LEAF_ROOT,
  MAX_INTERFACES,
  SIGNATURE,
} from '../spec/index.ts';
import { checkIndices } from './indices.ts';
import { type Source, systemGeneration } from './source.ts';
import type { SourceFailure } from './values.ts';

/** The fate of the values that a guest writes to the RNG: refused with #GP, dropped, or mixed into the values that it reads. */
export type RngInput = 'none' | 'ignore' | 'mix';

/** MSR_COMMONHV_RNG, and where its values come from ("CommonHV RNG" in drafts 1 and 2, "The RNG" in draft 3). */
export interface RngOptions {
  /** MSR_COMMONHV_RNG; 400000A0H by default. */
  readonly msr?: number | undefined;
  /** Where random bytes come from: `systemSource()`, or one of a test's. The leaves repeat its statement about itself. */
  readonly source: Source;
  /** `none` by default in drafts 2 and 3, `ignore` in draft 1, which has to accept guest writes. */
  readonly input?: RngInput | undefined;
  /**
   * When the source fails: `generator` goes on with HMAC_DRBG, seeded by the source while it was well; `stop` ends the
   * machine with a MachineError. By default a source that fails a health test and calls itself secure stops the machine,
   * since it may never have been random, and every other failure goes on.
   */
  readonly fallback?: 'generator' | 'stop' | undefined;
  /** Called once, before the next value is served, when the source fails. An error that it throws, or rejects with, ends the machine. */
  readonly onFailure?: ((failure: SourceFailure) => void) | undefined;
}

/** MSR_COMMONHV_GENERATION: one value a machine, another after each restore (draft 3, "The generation"). */
export interface GenerationOptions {
  /** MSR_COMMONHV_GENERATION; 400000A1H by default. */
  readonly msr?: number | undefined;
  /**
   * A new unsigned 64-bit value each time, neither half of it 0; `systemGeneration()` by default. Called when the machine starts
   * and at each restore, again where a half of the value is 0 or the one before: at most eight times.
   */
  readonly next?: (() => bigint) | undefined;
  /** Whether a guest can acknowledge a generation (feature bit 4); true by default. */
  readonly ack?: boolean | undefined;
  /** Whether a guest can set a generation page (bit 3). By default wherever the engine gives layers a way to guest memory; true insists on it. */
  readonly page?: boolean | undefined;
  /** MSR_COMMONHV_GENERATION_PAGE; 400000A2H by default. */
  readonly pageMsr?: number | undefined;
  /**
   * The generation of the machine in which this hypervisor runs, or `undefined` where it cannot be read. By default that of the
   * host CPU, where its leaves offer one, and in Node that of a Linux machine with CommonHV's driver or agent (/dev/commonhv,
   * /run/commonhv/generation), after the kernel's reseed. Read before a random value or the generation is served, and while the guest runs: when
   * it has changed, this hypervisor was copied with its machines, so the generation is renewed and the read-ahead discarded.
   */
  readonly outer?: (() => bigint | undefined) | undefined;
  /** The guest has reseeded: called once for each generation, with the milliseconds since the restore (or start). May throw or reject, which ends the machine. */
  readonly onAcknowledge?: ((milliseconds: number) => void) | undefined;
  /** The guest's page is no RAM any more, and the register was set to 0. */
  readonly onPageLost?: ((address: number) => void) | undefined;
  /** The outer generation has changed, and this machine's was renewed. */
  readonly onRenewed?: (() => void) | undefined;
}

/** The offer of a hypervisor to its guest; the leaves follow from it. */
export interface CommonhvOptions {
  /** 3 by default. */
  readonly draft?: Draft | undefined;
  /** CPUID.1.ECX bit 31: set by default; `false` clears it, for guests that cannot live with it. */
  readonly hypervisorBit?: boolean | undefined;
  /** The paravirtual interfaces to advertise, at most 256, the preferred ones first; a scan finds those of the host CPU. */
  readonly interfaces?: readonly Tuple[] | undefined;
  /** Draft 3: which of `interfaces` is preferred, counted from 1. */
  readonly preferred?: number | undefined;
  /** Without it no RNG is offered. */
  readonly rng?: RngOptions | undefined;
  /** Draft 3; without it no generation register is offered. */
  readonly generation?: GenerationOptions | undefined;
  /**
   * With an interface "XenVMMXenVMM": the MSR of Xen's hypercall page as Xen's leaves give it (CPUID.base+2.EBX), which
   * says which of Xen's two ranges of MSRs is in use. Where it is not given, the layer reads the host CPU's leaves.
   */
  readonly xenPage?: number | undefined;
}

/** `RngOptions`, checked, with its defaults. */
export interface ResolvedRng {
  readonly msr: number;
  readonly source: Source;
  readonly input: RngInput;
  /** `undefined`: by the kind of failure. */
  readonly fallback: RngOptions['fallback'];
  readonly onFailure: RngOptions['onFailure'];
}

/** `GenerationOptions`, checked, with its defaults. */
export interface ResolvedGeneration {
  readonly msr: number;
  readonly next: () => bigint;
  readonly ack: boolean;
  /** `undefined`: wherever the engine gives layers a way to guest memory. */
  readonly page: boolean | undefined;
  readonly pageMsr: number;
  readonly outer: GenerationOptions['outer'];
  readonly onAcknowledge: GenerationOptions['onAcknowledge'];
  readonly onPageLost: GenerationOptions['onPageLost'];
  readonly onRenewed: GenerationOptions['onRenewed'];
}

/** Options that have been checked, defaults filled in. */
export interface ResolvedOptions {
  readonly draft: Draft;
  readonly hypervisorBit: boolean;
  readonly interfaces: readonly Tuple[];
  readonly preferred: number;
  readonly rng: ResolvedRng | undefined;
  readonly generation: ResolvedGeneration | undefined;
  readonly xenPage: number | undefined;
}

/** Checks options and fills in the defaults. Throws a TypeError or RangeError whose message begins with the option's name. */
export function resolve(options: CommonhvOptions): ResolvedOptions {
  object(options, 'options');
  const { draft = 3, rng, generation, xenPage } = options;
  if (draft !== 1 && draft !== 2 && draft !== 3)
    throw new RangeError(`draft: expected 1, 2 or 3, got ${draft}`);
  const interfaces = resolveInterfaces(options.interfaces ?? []);
  if (rng !== undefined) object(rng, 'rng');
  if (generation !== undefined) object(generation, 'generation');
  const resolved: ResolvedOptions = {
    draft,
    hypervisorBit: boolean(options.hypervisorBit ?? true, 'hypervisorBit'),
    interfaces,
    preferred: resolvePreferred(options.preferred, interfaces.length, draft),
    rng: rng && resolveRng(rng, draft),
    generation: generation && resolveGeneration(generation, draft),
    xenPage: xenPage === undefined ? undefined : u32(xenPage, 'xenPage'),
  };
  checkIndices(resolved);
  return resolved;
}

function object(value: unknown, name: string): void {
  if (typeof value !== 'object' || value === null)
    throw new TypeError(`${name}: expected an object, got ${value}`);
}

function boolean(value: unknown, name: string): boolean {
  if (typeof value !== 'boolean') throw new TypeError(`${name}: expected true or false, got ${value}`);
  return value;
}

function callback(value: unknown, name: string): void {
  if (value !== undefined && typeof value !== 'function') throw new TypeError(`${name}: expected a function`);
}

function resolveInterfaces(interfaces: readonly Tuple[]): readonly Tuple[] {
  if (!Array.isArray(interfaces)) throw new TypeError(`interfaces: expected an array, got ${interfaces}`);
  if (interfaces.length > MAX_INTERFACES) {
    throw new RangeError(`interfaces: expected at most ${MAX_INTERFACES}, got ${interfaces.length}`);
  }
  const seen = new Map<string, number>();
  return interfaces.map((tuple: Tuple, i) => {
    const resolved = resolveTuple(tuple, `interfaces[${i}]`);
    const key = `${resolved.location} ${resolved.signature}`;
    const first = seen.get(key);
    if (first !== undefined)
      throw new RangeError(`interfaces[${i}]: expected tuples that differ, got interfaces[${first}] again`);
    seen.set(key, i);
    return resolved;
  });
}

function resolveTuple(tuple: Tuple, name: string): Tuple {
  object(tuple, name);
  const { signature, location } = tuple;
  u32(location, `${name}.location`);
  if (typeof signature !== 'string') throw new TypeError(`${name}.signature: expected a string`);
  try {
    encodeSignature(signature);
  } catch (cause) {
    throw new RangeError(`${name}.${(cause as Error).message}`, { cause });
  }
  // "Interface enumeration": no tuple names CommonHV itself, and a draft 1 guest takes zeros for the end of the list.
  if (signature === '\0'.repeat(12) || signature === SIGNATURE) {
    const which = signature === SIGNATURE ? `"${SIGNATURE}", which is CommonHV itself` : 'twelve NULs';
    throw new RangeError(`${name}.signature: expected the signature of another interface, got ${which}`);
  }
  if (location >= LEAF_ROOT && location <= LEAF_LAST)
    throw new RangeError(`${name}.location: 4F000000H to 4FFFFFFFH belong to CommonHV itself`);
  return { signature, location };
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
  const { fallback, onFailure } = options;
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
    throw new TypeError('rng.input: none: draft 1 must accept guest writes; use ignore or mix');
  }
  if (fallback !== undefined && fallback !== 'generator' && fallback !== 'stop') {
    throw new RangeError(`rng.fallback: expected generator or stop, got ${fallback}`);
  }
  callback(onFailure, 'rng.onFailure');
  return { source, msr, input, fallback, onFailure };
}

function resolveGeneration(options: GenerationOptions, draft: Draft): ResolvedGeneration {
  if (draft !== 3) throw new TypeError(`generation: draft ${draft} has no generation register, draft 3 has`);
  const { msr = DEFAULT_GENERATION_MSR, next = systemGeneration() } = options;
  const { ack = true, page, pageMsr = DEFAULT_PAGE_MSR } = options;
  const { outer, onAcknowledge, onPageLost, onRenewed } = options;
  if (typeof next !== 'function') throw new TypeError('generation.next: expected a function');
  boolean(ack, 'generation.ack');
  if (page !== undefined) boolean(page, 'generation.page');
  u32(msr, 'generation.msr');
  u32(pageMsr, 'generation.pageMsr');
  for (const [name, value] of Object.entries({ outer, onAcknowledge, onPageLost, onRenewed }))
    callback(value, `generation.${name}`);
  return { msr, next, ack, page, pageMsr, outer, onAcknowledge, onPageLost, onRenewed };
}
