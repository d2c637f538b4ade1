/** A layer that does not serve CommonHV, and hides that of an outer hypervisor, whose MSRs its guest may not reach. */
import { type Layer, lifecycle } from '../cpu.ts';
import { LEAF_LAST, LEAF_ROOT, ZEROS } from '../spec/index.ts';
import { outerMsrs, withoutOuter } from './outer.ts';

/** Answers zeros for 4F000000H to 4FFFFFFFH, #GP for the MSRs that the host CPU's leaves name there, and passes all else down. */
export const maskCommonhv: Layer = (host) => ({
  ...lifecycle(host),
  ...withoutOuter(host, outerMsrs(host)),
  cpuid: (leaf, subleaf) => (leaf >= LEAF_ROOT && leaf <= LEAF_LAST ? ZEROS : host.cpuid(leaf, subleaf)),
});
