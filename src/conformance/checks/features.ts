/** Checks of "CPUID leaf 4F000002H" and of leaf 4F000003H: feature bits, reserved registers, and where the MSRs are. */
import { hex } from '../../cpu.ts';
import {
  decodeFeatures,
  decodeMsrLeaf,
  decodeSignature,
  FEATURE_ACK,
  FEATURE_GENERATION,
  FEATURE_PAGE,
  FEATURE_RNG,
  FEATURE_RNG_INPUT,
  LEAF_FEATURES,
  LEAF_MSRS,
  ownedMsrs,
  RNG_INSECURE,
  RNG_SECURE,
} from '../../spec/index.ts';
import { type Implementation, isFault } from '../implementation.ts';
import { type Finding, failed, passed, skipped } from '../rule.ts';
import { quote } from './discovery.ts';
import { generationValues, randomValuesOf, writesOf } from './samples.ts';
import { strayGeneration, strayRng } from './stray.ts';

type Check = (implementation: Implementation) => Promise<Finding> | Finding;

/** A check of a leaf that max_commonhv_leaf has to reach. */
function withLeaf(leaf: number, check: Check): Check {
  return (implementation) =>
    implementation.maxLeaf < leaf
      ? skipped(`no leaf ${hex(leaf)}: max_commonhv_leaf is ${hex(implementation.maxLeaf)}`)
      : check(implementation);
}

/** Draft 2: "max_commonhv_leaf MUST BE at least 0x4F000003" with the RNG; draft 3: with the RNG or the generation. */
export function registersProvided({ draft, features, maxLeaf }: Implementation): Finding {
  const { rng, generation } = decodeFeatures(features);
  const needed = rng || (draft === 3 && generation);
  if (!needed) return skipped('no register is offered');
  if (maxLeaf >= LEAF_MSRS) return passed();
  return failed(
    `CPUID 0x4f000002 offers a register (EAX ${hex(features.eax)}): expected max_commonhv_leaf to be at least ` +
      `${hex(LEAF_MSRS)}, got ${hex(maxLeaf)}`,
  );
}

/** Bits and registers that a text reserves. READING: reserved means zero from hypervisors. */
function zeros(
  leaf: number,
  reserved: (draft: Implementation['draft']) => Partial<Record<'eax' | 'ebx' | 'ecx' | 'edx', number>>,
): Check {
  return withLeaf(leaf, (implementation) => {
    const regs = leaf === LEAF_FEATURES ? implementation.features : implementation.registers;
    for (const [name, mask] of Object.entries(reserved(implementation.draft))) {
      const value = regs[name as keyof typeof regs];
      const set = (value & mask) >>> 0;
      if (set !== 0) {
        const all = mask >>> 0 === 0xffff_ffff ? '0x00000000' : `zeros under the mask ${hex(mask >>> 0)}`;
        return failed(`CPUID ${hex(leaf)}: expected ${all} in ${name.toUpperCase()}, got ${hex(value)}`);
      }
    }
    return passed();
  });
}

const ALL = 0xffff_ffff;
/** Draft 1 reserves all but EAX, draft 2 all but two bits, draft 3 ECX and EDX in a sentence of their own. */
export const featuresReserved = zeros(LEAF_FEATURES, (draft) =>
  draft === 1
    ? { ebx: ALL, ecx: ALL, edx: ALL }
    : draft === 2
      ? { eax: ~(FEATURE_RNG | FEATURE_RNG_INPUT), ebx: ALL, ecx: ALL, edx: ALL }
      : { ecx: ALL, edx: ALL },
);
export const featureBitsReserved = zeros(LEAF_FEATURES, () => ({
  eax: ~(FEATURE_RNG | FEATURE_RNG_INPUT | FEATURE_GENERATION | FEATURE_PAGE | FEATURE_ACK),
}));
export const statementReserved = zeros(LEAF_MSRS, () => ({ ebx: ~(RNG_SECURE | RNG_INSECURE) }));
/** EDX is the page's index where there is a page. */
export const registersReserved: Check = (implementation) =>
  (implementation.features.eax & FEATURE_PAGE) !== 0
    ? skipped('the generation page is offered')
    : zeros(LEAF_MSRS, () => ({ edx: ALL }))(implementation);

export const draftNumber = withLeaf(LEAF_FEATURES, ({ features: { ebx } }) => {
  if (ebx === 3) return passed();
  const later = ebx > 3 ? '; a later draft keeps all of draft 3, and this suite knows no later one' : '';
  return failed(`CPUID 0x4f000002: expected EBX 0x00000003, got ${hex(ebx)}${later}`);
});

/** An offered register has to exist: an index at which every read faults is none. */
export const rngThere: Check = async (implementation) => {
  if (implementation.rng === undefined) return skipped('no RNG is offered, or none that can be found');
  const stray = await strayRng(implementation);
  // Draft 3 has a sentence of its own for a wrong index.
  if (stray !== undefined)
    return implementation.draft === 3 ? skipped('a wrong index: see registers.rng') : failed(stray);
  const values = await randomValuesOf(implementation);
  if (!values.every(isFault)) return passed(`at ${hex(implementation.rng.msr)}`);
  return failed(
    `RDMSR ${hex(implementation.rng.msr)}: expected the RNG that is offered, got ${values.find(isFault)} each time`,
  );
};

export const rngIndex: Check = async (implementation) => {
  if (implementation.rng === undefined) return skipped('no RNG is offered, or none that can be found');
  const stray = await strayRng(implementation);
  if (stray !== undefined) return failed(stray);
  if ((await randomValuesOf(implementation)).every(isFault))
    return skipped('nothing is there: see features.rng');
  return passed(hex(implementation.rng.msr));
};

export const generationThere: Check = async (implementation) => {
  if (implementation.generation === undefined)
    return skipped('no generation is offered, or none that can be found');
  if ((await strayGeneration(implementation)) !== undefined)
    return skipped('a wrong index: see registers.generation');
  const { msr } = implementation.generation;
  const values = await generationValues(implementation);
  if (!values.every(isFault)) return passed(`at ${hex(msr)}`);
  return failed(`RDMSR ${hex(msr)}: expected the generation that is offered, got ${values[0]} each time`);
};

export const generationIndex: Check = async (implementation) => {
  if (implementation.generation === undefined)
    return skipped('no generation is offered, or none that can be found');
  const stray = await strayGeneration(implementation);
  if (stray !== undefined) return failed(stray);
  if ((await generationValues(implementation)).every(isFault))
    return skipped('nothing is there: see features.generation');
  return passed(hex(implementation.generation.msr));
};

/** "accepts guest input" needs an RNG to accept it. */
export const inputNeedsRng = withLeaf(LEAF_FEATURES, ({ features }) => {
  const { rng, rngInput } = decodeFeatures(features);
  if (rng || !rngInput) return passed();
  return failed(`CPUID 0x4f000002: expected bit 1 of EAX only beside bit 0, got EAX ${hex(features.eax)}`);
});

/** Draft 2 has no sentence about exceptions for writes: one that faults was not accepted. */
export const inputAccepted = withLeaf(LEAF_FEATURES, async (implementation) => {
  const needs = await inputNeedsRng(implementation);
  if (needs.outcome !== 'passed' || implementation.rng === undefined || !implementation.rng.input)
    return needs;
  if ((await randomValuesOf(implementation)).every(isFault))
    return skipped('nothing is there: see features.rng');
  const refused = (await writesOf(implementation)).find(({ fault }) => fault !== undefined);
  if (refused === undefined) return passed('writes are accepted');
  return failed(
    `WRMSR ${hex(implementation.rng.msr)}: expected input to be accepted, got ${refused.fault} for ${hex(refused.value, 16)}`,
  );
});

export const indicesDiffer = withLeaf(LEAF_MSRS, ({ features, registers }) => {
  const offered = decodeFeatures(features);
  const { rng, generation } = decodeMsrLeaf(registers);
  if (!offered.rng || !offered.generation) return skipped('not both registers are offered');
  if (rng !== generation) return passed();
  return failed(`CPUID 0x4f000003: expected two indices, got ${hex(rng)} in EAX and in ECX`);
});

/** An index that another advertised interface owns: draft 3 forbids it, for the drafts before it is a note. */
export async function indicesFree(implementation: Implementation): Promise<Finding> {
  const { rng, generation, entries } = implementation;
  const claims = [rng?.msr, generation?.msr].filter((msr) => msr !== undefined);
  if (claims.length === 0 || entries.length === 0)
    return skipped('no register, or no interface that could own it');
  for (const { regs } of entries) {
    const signature = decodeSignature(regs);
    const xen = signature === 'XenVMMXenVMM';
    const page = xen ? await xenPage(implementation, regs.eax) : undefined;
    // Xen has two homes: without its own leaves nobody can say which of them is taken.
    if (xen && page === undefined) continue;
    for (const { first, last } of ownedMsrs(signature, page)) {
      const taken = claims.find((msr) => msr >= first && msr <= last);
      if (taken !== undefined)
        return failed(
          `${hex(taken)}: expected an index of its own, got one of ${quote(signature)}, which owns ${hex(first)} to ${hex(last)}`,
        );
    }
  }
  return passed();
}

/** xen/include/public/arch-x86/cpuid.h: EBX of base + 2 is the MSR of the hypercall page, which tells Xen's range. */
async function xenPage(implementation: Implementation, location: number): Promise<number | undefined> {
  if (location > 0xffff_fffd) return undefined;
  if (decodeSignature(await implementation.cpuid(location, 0)) !== 'XenVMMXenVMM') return undefined;
  return (await implementation.cpuid(location + 2, 0)).ebx;
}
