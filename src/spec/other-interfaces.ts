/** Definitions of other texts that a CommonHV guest has to know: the scan, Hyper-V's identifier, confidential guests. */

/** The first leaf of the 0x40000000 scan, as Linux' hypervisor_cpuid_base has it: Xen's 256 slots. */
export const SCAN_FIRST = 0x4000_0000;
/** The last leaf of the scan. */
export const SCAN_LAST = 0x4000_ff00;
/** In the scan an interface begins at a multiple of this. */
export const SCAN_STEP = 0x100;

/** Leaf 0: EAX is the highest basic leaf, the one whose data some processors answer for a leaf that is not there. */
export const LEAF_MAX_BASIC = 0x0000_0000;
/** Leaf 80000000H: EAX is the highest extended leaf. */
export const LEAF_MAX_EXTENDED = 0x8000_0000;

/** "Hv#1", Hyper-V TLFS "Hypervisor Interface Identification": EAX of the leaf after an interface's first. */
export const HV_1 = 0x3123_7648;

/** "VS#1": EAX of 40000081H, where Microsoft's virtualization stack (or KVM's synthetic debugger) has its interface. */
export const VS_1 = 0x3123_5356;
export const LEAF_VS_1 = 0x4000_0081;

/** Bareflank: its own range; EAX names a leaf in it. It leaves 40000000H at zeros. */
export const LEAF_BAREFLANK = 0x4bf0_0000;

/** Hyper-V TLFS, "Hypervisor Feature Identification": the partition's privileges in EAX and EBX. */
export const LEAF_HYPERV_FEATURES = 0x4000_0003;
/** Hyper-V TLFS, "Isolation Configuration": EBX bits 3:0 are 2 in a SEV-SNP guest, 3 in a TDX guest. */
export const LEAF_HYPERV_ISOLATION = 0x4000_000c;

/** Intel TDX module: CPUID leaf 21H spells "IntelTDX    " in EBX, EDX, ECX inside a trust domain. */
export const LEAF_TDX = 0x0000_0021;

/** EAX: widths of physical, linear and guest-physical addresses (SDM and AMD64 manual, CPUID 80000008H). */
export const LEAF_ADDRESS_SIZES = 0x8000_0008;

/** AMD's CPUID leaf of memory encryption: where the highest extended leaf is below it, there is no SEV_STATUS to ask for. */
export const LEAF_MEMORY_ENCRYPTION = 0x8000_001f;
/** AMD manual volume 2, SEV_STATUS: the kind of SEV guest. */
export const MSR_SEV_STATUS = 0xc001_0131;
/** Bit 0 of SEV_STATUS is set in every SEV guest, SEV-ES and SEV-SNP included (bits 1 and 2). */
export const SEV_STATUS_SEV = 1n << 0n;
