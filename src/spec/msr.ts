/** MSR indices: the defaults, and the ranges that architecture and well-known interfaces own. */
import type { MsrRange } from './architectural.ts';
import { ARCHITECTURAL_MSRS } from './architectural.ts';

/**
 * The drafts leave the index to the hypervisor. Intel keeps MSRs 40000000H-400000FFH for hypervisors (SDM volume 4); of
 * these A0H-AFH has no user in the public headers of Hyper-V, and only old Xen claims them all.
 */
export const DEFAULT_RNG_MSR = 0x4000_00a0;
/** The index beside it, for MSR_COMMONHV_GENERATION of draft 3. */
export const DEFAULT_GENERATION_MSR = 0x4000_00a1;
/** The next one, for MSR_COMMONHV_GENERATION_PAGE of draft 3. */
export const DEFAULT_PAGE_MSR = 0x4000_00a2;

/** "An index SHOULD lie in 40000000H to 400000FFH": the range that Intel keeps for hypervisors. */
export const HYPERVISOR_MSRS: MsrRange = { first: 0x4000_0000, last: 0x4000_00ff };

/** Hyper-V's second range is taken widely. 40001002H and 40001080H-4000109FH: nested and reset registers. */
const HYPERV: readonly MsrRange[] = [
  { first: 0x4000_0000, last: 0x4000_009f },
  { first: 0x4000_00b0, last: 0x4000_01ff },
  { first: 0x4000_1002, last: 0x4000_1002 },
  { first: 0x4000_1080, last: 0x4000_109f },
];
/** By signature. KVM has a second name for its emulation of Hyper-V. 11H and 12H: MSR_KVM_WALL_CLOCK and MSR_KVM_SYSTEM_TIME. */
const OWNED: ReadonlyMap<string, readonly MsrRange[]> = new Map([
  ['Microsoft Hv', HYPERV],
  ['Linux KVM Hv', HYPERV],
  [
    'KVMKVMKVM\0\0\0',
    [
      { first: 0x11, last: 0x12 },
      { first: 0x4b56_4d00, last: 0x4b56_4dff },
    ],
  ],
]);

/** Xen's two possible ranges: CPUID.base+2.EBX names the hypercall page's MSR (xen/include/public/arch-x86/cpuid.h). */
const XEN: readonly MsrRange[] = [
  { first: 0x4000_0000, last: 0x4000_00ff },
  { first: 0x4000_0200, last: 0x4000_02ff },
];

/**
 * The MSRs that an interface owns. For Xen `xenPage` is the hypercall page's MSR as Xen's own leaves give it; without it
 * both of its ranges count as owned.
 */
export function ownedMsrs(signature: string, xenPage?: number): readonly MsrRange[] {
  if (signature !== 'XenVMMXenVMM') return OWNED.get(signature) ?? [];
  const page = XEN.filter((range) => xenPage !== undefined && inRange(xenPage, range));
  return page.length > 0 ? page : XEN;
}

/** The architecture's name for an MSR, such as "IA32_P5_MC_ADDR" for 0; `undefined` where neither vendor's manual defines it. */
export function architecturalMsr(index: number): string | undefined {
  return ARCHITECTURAL_MSRS.find((range) => inRange(index, range))?.name;
}

/** Whether an index is from `first` to `last`. */
export function inRange(index: number, { first, last }: MsrRange): boolean {
  return index >= first && index <= last;
}
