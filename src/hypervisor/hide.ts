/** A layer that does not serve CommonHV, and hides that of a hypervisor below, whose MSRs its guest may not reach. */
import type { Layer } from '../cpu.ts';
import { LEAF_LAST, LEAF_ROOT, ZEROS } from '../spec/index.ts';

/** Answers zeros for 4F000000H to 4FFFFFFFH and passes all else down. */
export const hide: Layer = (below) => ({
  cpuid: (leaf, subleaf) => (leaf >= LEAF_ROOT && leaf <= LEAF_LAST ? ZEROS : below.cpuid(leaf, subleaf)),
  rdmsr: (index) => below.rdmsr(index),
  wrmsr: (index, value) => below.wrmsr(index, value),
  restored: () => below.restored?.(),
});
