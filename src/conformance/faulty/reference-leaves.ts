/** CPUID of the reference machine. */
import type { Regs } from '../../cpu.ts';
import {
  encodeCount,
  encodeFeatures,
  encodeMsrLeaf,
  encodeRngIndex,
  encodeRoot,
  encodeTuple,
  LEAF_BASIC,
  LEAF_FEATURES,
  LEAF_INTERFACES,
  LEAF_MSRS,
  LEAF_ROOT,
  withHypervisorBit,
  ZEROS,
} from '../../spec/index.ts';
import type { Settled } from './reference-options.ts';

/** The registers of a leaf, on every CPU. */
export function leafOf(options: Settled, leaf: number, subleaf: number): Regs {
  const { draft, interfaces, bit, width, preferred, input, rng, generation, page, ack, msrs, secure } =
    options;
  if (leaf === LEAF_BASIC) return withHypervisorBit(ZEROS, bit);
  if (leaf === 0x8000_0000) return { ...ZEROS, eax: 0x8000_0008 };
  if (leaf === 0x8000_0008) return { ...ZEROS, eax: width };
  const listed = interfaces.find(({ location }) => location === leaf);
  if (listed !== undefined) return { ...encodeTuple(listed), eax: leaf + 1 };
  if (leaf === LEAF_ROOT) return encodeRoot(options.maxLeaf ?? (draft === 1 ? LEAF_FEATURES : LEAF_MSRS));
  if (leaf > (options.maxLeaf ?? LEAF_MSRS)) return ZEROS;
  if (leaf === LEAF_INTERFACES) {
    if (subleaf === 0 && draft !== 1) return encodeCount({ count: interfaces.length, preferred });
    const tuple = interfaces[draft === 1 ? subleaf : subleaf - 1];
    return tuple === undefined ? ZEROS : encodeTuple(tuple);
  }
  if (leaf === LEAF_FEATURES)
    return draft === 1
      ? encodeRngIndex(rng ? msrs.rng : undefined)
      : encodeFeatures({ rng, rngInput: rng && input, generation, page, ack, draft: draft === 3 ? 3 : 0 });
  if (leaf !== LEAF_MSRS || draft === 1) return ZEROS;
  return encodeMsrLeaf({
    rng: rng ? msrs.rng : 0,
    generation: generation ? msrs.generation : 0,
    page: page ? msrs.page : 0,
    secure: draft === 3 && rng ? secure : undefined,
  });
}
