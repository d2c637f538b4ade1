/** Checks of "CPUID leaf 4F000002H" and of leaf 4F000003H: feature bits, reserved registers, and where the MSRs are. */
import { hex } from '../../cpu.ts';
import {
  architecturalMsr,
  decodeFeatures,
  decodeMsrLeaf,
  decodeSignature,
  FEATURE_ACK,
  FEATURE_GENERATION,
  FEATURE_PAGE,
  FEATURE_RNG,
  FEATURE_RNG_INPUT,
  HYPERVISOR_MSRS,
  inRange,
  LEAF_FEATURES,
  LEAF_MSRS,
  type MsrRange,
  ownedMsrs,
  RNG_INSECURE,
  RNG_SECURE,
} from '../../spec/index.ts';
import type { Implementation } from '../implementation.ts';
import { type Finding, failed, passed, skipped } from '../rule.ts';
import { quote } from './discovery.ts';
import { type Check, found, withoutRng } from './found.ts';
import { rngWriteStage } from './writes.ts';

/** A check of a leaf that max_commonhv_leaf has to reach. */
function withLeaf(leaf: number, check: Check): Check {
  return (implementation) =>
    implementation.maxLeaf < leaf
      ? skipped(`no leaf ${hex(leaf)}: max_commonhv_leaf is ${hex(implementation.maxLeaf)}`)
      : check(implementation);
}

/** Draft 2: "max_commonhv_leaf MUST BE at least 0x4F000003" with the RNG; draft 3: with any feature bit. */
export function registersProvided({ draft, features, maxLeaf }: Implementation): Finding {
  const needed = draft === 3 ? features.eax !== 0 : decodeFeatures(features).rng;
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
/** EDX is the page's index, where there is a page. */
export const registersReserved: Check = (implementation) =>
  (implementation.features.eax & FEATURE_PAGE) !== 0
    ? skipped('the generation page is offered')
    : zeros(LEAF_MSRS, () => ({ edx: ALL }))(implementation);

export const draftNumber = withLeaf(LEAF_FEATURES, ({ features: { ebx } }) =>
  ebx === 3 ? passed() : failed(`CPUID 0x4f000002: expected EBX 0x00000003, got ${hex(ebx)}`),
);

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
  return found('features.input', rngWriteStage, withoutRng)(implementation);
});

/** A feature bit that needs bit 2 beside it. */
const needsGeneration = (bit: number, name: number): Check =>
  withLeaf(LEAF_FEATURES, ({ features: { eax } }) =>
    (eax & bit) === 0 || (eax & FEATURE_GENERATION) !== 0
      ? passed()
      : failed(`CPUID 0x4f000002: expected bit ${name} of EAX only beside bit 2, got EAX ${hex(eax)}`),
  );
export const pageNeedsGeneration = needsGeneration(FEATURE_PAGE, 3);
export const ackNeedsGeneration = needsGeneration(FEATURE_ACK, 4);

/** The registers that are offered, by name and index. */
function indicesOf({
  draft,
  features,
  registers,
  rng,
  maxLeaf,
}: Implementation): [name: string, msr: number][] {
  if (draft !== 3) return rng === undefined ? [] : [['MSR_COMMONHV_RNG', rng.msr]];
  if (maxLeaf < LEAF_MSRS) return [];
  const offered = decodeFeatures(features);
  const at = decodeMsrLeaf(registers);
  return [
    ...(offered.rng ? [['MSR_COMMONHV_RNG', at.rng] as [string, number]] : []),
    ...(offered.generation ? [['MSR_COMMONHV_GENERATION', at.generation] as [string, number]] : []),
    ...(offered.page ? [['MSR_COMMONHV_GENERATION_PAGE', at.page] as [string, number]] : []),
  ];
}

/** Two registers have two indices. */
const differ = (a: string, b: string): Check =>
  withLeaf(LEAF_MSRS, (implementation) => {
    const indices = new Map(indicesOf(implementation));
    const [one, two] = [indices.get(a), indices.get(b)];
    if (one === undefined || two === undefined) return skipped('not both registers are offered');
    return one !== two
      ? passed()
      : failed(`CPUID 0x4f000003: expected two indices, got ${hex(one)} for ${a} and for ${b}`);
  });
export const indicesDiffer = differ('MSR_COMMONHV_RNG', 'MSR_COMMONHV_GENERATION');
export const rngAndPageDiffer = differ('MSR_COMMONHV_RNG', 'MSR_COMMONHV_GENERATION_PAGE');
export const generationAndPageDiffer = differ('MSR_COMMONHV_GENERATION', 'MSR_COMMONHV_GENERATION_PAGE');

/** An index that the architecture or another advertised interface owns: draft 3 forbids it, in the drafts before it is an advisory. */
export async function indicesFree(implementation: Implementation): Promise<Finding> {
  const indices = indicesOf(implementation);
  if (indices.length === 0) return skipped('no register is offered');
  for (const [name, msr] of implementation.draft === 3 ? indices : []) {
    const owner = architecturalMsr(msr);
    if (owner !== undefined)
      return failed(`${name} at ${hex(msr)}: expected an index of its own, got that of ${owner}`);
  }
  for (const [signature, ranges] of await ownersOf(implementation)) {
    for (const range of ranges) {
      const taken = indices.find(([, msr]) => inRange(msr, range));
      if (taken !== undefined)
        return failed(
          `${taken[0]} at ${hex(taken[1])}: expected an index of its own, got one of ${quote(signature)}, which owns ${hex(range.first)} to ${hex(range.last)}`,
        );
    }
  }
  return passed();
}

/** Each listed interface with the MSRs that it owns. */
async function ownersOf(implementation: Implementation): Promise<(readonly [string, readonly MsrRange[]])[]> {
  const owners: (readonly [string, readonly MsrRange[]])[] = [];
  for (const { regs } of implementation.entries) {
    const signature = decodeSignature(regs);
    const xen = signature === 'XenVMMXenVMM';
    const page = xen ? await xenPage(implementation, regs.eax) : undefined;
    // Xen has two ranges: without its own leaves nobody can say which of them is taken.
    if (!xen || page !== undefined) owners.push([signature, ownedMsrs(signature, page)]);
  }
  return owners;
}

/** Draft 3: the range that Intel keeps for hypervisors, unless an interface owns all of it. */
export async function indicesInRange(implementation: Implementation): Promise<Finding> {
  const indices = indicesOf(implementation);
  if (indices.length === 0) return skipped('no register is offered');
  if ((await indicesFree(implementation)).outcome === 'failed') return skipped('see msrs.free');
  const { first, last } = HYPERVISOR_MSRS;
  const owners = await ownersOf(implementation);
  if (owners.some(([, ranges]) => ranges.some((range) => range.first <= first && range.last >= last)))
    return skipped('an interface in the list owns all of 0x40000000 to 0x400000ff');
  const outside = indices.find(([, msr]) => !inRange(msr, HYPERVISOR_MSRS));
  return outside === undefined
    ? passed()
    : failed(`${outside[0]}: expected an index from ${hex(first)} to ${hex(last)}, got ${hex(outside[1])}`);
}

/** xen/include/public/arch-x86/cpuid.h: EBX of base + 2 is the MSR of the hypercall page, which tells Xen's range. */
async function xenPage(implementation: Implementation, location: number): Promise<number | undefined> {
  if (location > 0xffff_fffd) return undefined;
  if (decodeSignature(await implementation.cpuid(location, 0)) !== 'XenVMMXenVMM') return undefined;
  return (await implementation.cpuid(location + 2, 0)).ebx;
}
