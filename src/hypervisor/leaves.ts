/** The leaves that a description becomes, one table for a machine's life: "leaves never change while a machine lives". */
import type { Regs } from '../cpu.ts';
import {
  encodeCount,
  encodeFeatures,
  encodeMsrLeaf,
  encodeRngIndex,
  encodeRoot,
  encodeTuple,
  LEAF_FEATURES,
  LEAF_INTERFACES,
  LEAF_MSRS,
  LEAF_ROOT,
  ZEROS,
} from '../spec/index.ts';
import type { ResolvedOptions } from './options.ts';

/** Answers CPUID for 4F000000H to 4FFFFFFFH. */
export function leaves(described: ResolvedOptions): (leaf: number, subleaf: number) => Regs {
  const { draft, interfaces, preferred, rng, generation } = described;
  const tuples = interfaces.map(encodeTuple);
  const list = draft === 1 ? tuples : [encodeCount({ count: tuples.length, preferred }), ...tuples];
  // Draft 1 describes nothing above its features; drafts 2 and 3 need the leaf above as soon as a register is there.
  const maxLeaf = draft !== 1 && (rng || generation) ? LEAF_MSRS : LEAF_FEATURES;
  const root = encodeRoot(maxLeaf);
  const features =
    draft === 1
      ? encodeRngIndex(rng?.msr)
      : encodeFeatures({
          rng: rng !== undefined,
          rngInput: rng !== undefined && rng.input !== 'none',
          generation: generation !== undefined,
          page: false,
          ack: false,
          draft: draft === 3 ? 3 : 0,
        });
  const registers =
    maxLeaf < LEAF_MSRS
      ? ZEROS
      : encodeMsrLeaf({
          rng: rng?.msr ?? 0,
          generation: generation?.msr ?? 0,
          page: 0,
          secure: draft === 3 ? rng?.source.secure : undefined,
        });
  return (leaf, subleaf) => {
    // READING: only 4F000001H has subleaves; the others answer alike for every ECX, as processors do.
    switch (leaf) {
      case LEAF_ROOT:
        return root;
      case LEAF_INTERFACES:
        return list[subleaf] ?? ZEROS; // "CPUID with EAX = 0x4F000001 and ECX >= N MUST return all zeros"
      case LEAF_FEATURES:
        return features;
      case LEAF_MSRS:
        return registers;
      default:
        return ZEROS;
    }
  };
}
