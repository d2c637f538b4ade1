/** The leaves of a machine, one table for its life: "leaves never change while a machine lives". */
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

/** The leaves of one machine. */
export interface Leaves {
  /** CPUID for 4F000000H to 4FFFFFFFH. */
  read(leaf: number, subleaf: number): Regs;
  /** The same as text, a line for each subleaf: what a saved state keeps, to be compared at a restore. */
  readonly text: readonly string[];
}

/** `page`: whether this machine's engine allows the generation page. `rng` is absent where its source does not work. */
export function makeLeaves(resolved: ResolvedOptions, page: boolean): Leaves {
  const { draft, interfaces, preferred, rng, generation } = resolved;
  const tuples = interfaces.map(encodeTuple);
  const list = draft === 1 ? tuples : [encodeCount({ count: tuples.length, preferred }), ...tuples];
  // Draft 1 describes nothing above its features; drafts 2 and 3 need the leaf above as soon as a register is there.
  const maxLeaf = draft !== 1 && (rng || generation) ? LEAF_MSRS : LEAF_FEATURES;
  const root = encodeRoot(maxLeaf);
  const features = draft === 1 ? encodeRngIndex(rng?.msr) : featuresOf(resolved, page);
  const msrs = maxLeaf < LEAF_MSRS ? ZEROS : msrsOf(resolved, page);
  return {
    read(leaf, subleaf) {
      // READING: only 4F000001H has subleaves; the others answer alike for every ECX, as processors do.
      switch (leaf) {
        case LEAF_ROOT:
          return root;
        case LEAF_INTERFACES:
          return list[subleaf] ?? ZEROS; // "CPUID with EAX = 0x4F000001 and ECX >= N MUST return all zeros"
        case LEAF_FEATURES:
          return features;
        case LEAF_MSRS:
          return msrs;
        default:
          return ZEROS;
      }
    },
    text: [
      line('4F000000H.0', root),
      ...list.map((regs, i) => line(`4F000001H.${i}`, regs)),
      line('4F000002H.0', features),
      line('4F000003H.0', msrs),
    ],
  };
}

function featuresOf({ draft, rng, generation }: ResolvedOptions, page: boolean): Regs {
  return encodeFeatures({
    rng: rng !== undefined,
    rngInput: rng !== undefined && rng.input !== 'none',
    generation: generation !== undefined,
    page: generation !== undefined && page,
    ack: generation?.ack === true,
    draft: draft === 3 ? 3 : 0,
  });
}

function msrsOf({ draft, rng, generation }: ResolvedOptions, page: boolean): Regs {
  return encodeMsrLeaf({
    rng: rng?.msr ?? 0,
    generation: generation?.msr ?? 0,
    page: generation && page ? generation.pageMsr : 0,
    secure: draft === 3 ? rng?.source.secure : undefined,
  });
}

const line = (name: string, { eax, ebx, ecx, edx }: Regs) =>
  `${name} ${[eax, ebx, ecx, edx].map((value) => value.toString(16)).join(' ')}`;
