/** Which draft a table of leaves is: the five questions, in their order, that tell the three drafts apart. */
import type { Regs } from '../cpu.ts';
import type { Draft } from './leaves.ts';
import { LEAF_FEATURES, LEAF_INTERFACES, LEAF_MSRS, ZEROS } from './leaves.ts';

/** The registers that decide: max_commonhv_leaf, CPUID.4F000001H.0 and CPUID.4F000002H.0 as they were read. */
export interface Evidence {
  /** As `decodeRoot` gives it. */
  readonly maxLeaf: number;
  /** CPUID.4F000001H.0, not looked at where `maxLeaf` is below it. */
  readonly interfaces: Regs;
  /** CPUID.4F000002H.0, likewise. */
  readonly features: Regs;
}

/** Draft 3, "Which draft is it?". `undefined`: every reading gives no interface and no RNG, so the question needs no answer. */
export function whichDraft({ maxLeaf, interfaces, features }: Evidence): Draft | undefined {
  // "Any leaves described in this specification with EAX values that exceed max_commonhv_leaf MUST be handled by
  // guests as though they contain all zeros." (draft 1, "Discovery")
  const first = maxLeaf >= LEAF_INTERFACES ? interfaces : ZEROS;
  const second = maxLeaf >= LEAF_FEATURES ? features : ZEROS;
  // READING: draft 3's number lies where draft 2 reserves; reserved means zero from hypervisors, ignored by guests.
  const third = second.ebx >= 3;
  if (maxLeaf >= LEAF_MSRS) return third ? 3 : 2; // draft 1 describes no such leaf
  if (third) return 3;
  if (second.eax !== 0) return 1; // draft 2's features all need the leaf above
  if (first.ebx !== 0 || first.ecx !== 0 || first.edx !== 0) return 1; // draft 2 reserves these
  if (first.eax !== 0) return 2;
  return undefined;
}
