/** MSR indices: our defaults, and what well-known interfaces own of the range that Intel reserves for hypervisors. */

/**
 * The drafts leave the index to the hypervisor. Intel keeps MSRs 40000000H-400000FFH for hypervisors (SDM volume 4); of
 * these A0H-AFH has no user in the public headers of Hyper-V, and only old Xen claims them all.
 */
export const DEFAULT_RNG_MSR = 0x4000_00a0;
/** The index beside it, for MSR_COMMONHV_GENERATION of draft 3. */
export const DEFAULT_GENERATION_MSR = 0x4000_00a1;

/** MSR indices first to last, both included. */
export interface MsrRange {
  readonly first: number;
  readonly last: number;
}

/** What an interface owns, by signature. Hyper-V's second range is taken wide; KVM speaks its language under a name of its own. */
const HYPERV: readonly MsrRange[] = [
  { first: 0x4000_0000, last: 0x4000_009f },
  { first: 0x4000_00b0, last: 0x4000_01ff },
];
const OWNED: ReadonlyMap<string, readonly MsrRange[]> = new Map([
  ['Microsoft Hv', HYPERV],
  ['Linux KVM Hv', HYPERV],
  ['KVMKVMKVM\0\0\0', [{ first: 0x4b56_4d00, last: 0x4b56_4dff }]],
]);

/** Xen's two possible homes: CPUID.base+2.EBX names the hypercall page's MSR (xen/include/public/arch-x86/cpuid.h). */
const XEN: readonly MsrRange[] = [
  { first: 0x4000_0000, last: 0x4000_00ff },
  { first: 0x4000_0200, last: 0x4000_02ff },
];

/**
 * The MSRs that an interface owns. For Xen `xenPage` is the hypercall page's MSR as Xen's own leaves give it; without it
 * both of its homes count as owned.
 */
export function ownedMsrs(signature: string, xenPage?: number): readonly MsrRange[] {
  if (signature !== 'XenVMMXenVMM') return OWNED.get(signature) ?? [];
  const home = XEN.filter(({ first, last }) => xenPage !== undefined && xenPage >= first && xenPage <= last);
  return home.length > 0 ? home : XEN;
}
