/** Names of CPUID leaves and MSRs that guests ask for, for `trace`. Intel SDM volume 2 (CPUID) and volume 4; linux/kvm_para.h. */
import { LEAF_FEATURES, LEAF_INTERFACES, LEAF_MSRS, LEAF_ROOT } from '../spec/index.ts';

const LEAVES: ReadonlyMap<number, string> = new Map([
  [0x0, 'vendor, highest basic leaf'],
  [0x1, 'signature, features, hypervisor bit'],
  [0x2, 'cache descriptors'],
  [0x4, 'caches'],
  [0x5, 'MONITOR/MWAIT'],
  [0x6, 'thermal and power'],
  [0x7, 'extended features'],
  [0xa, 'performance monitoring'],
  [0xb, 'topology'],
  [0xd, 'XSAVE state'],
  [0xf, 'resource monitoring'],
  [0x10, 'resource allocation'],
  [0x12, 'SGX'],
  [0x14, 'processor trace'],
  [0x15, 'TSC frequency'],
  [0x16, 'processor frequency'],
  [0x19, 'key locker'],
  [0x1a, 'hybrid'],
  [0x1f, 'topology, version 2'],
  [0x21, 'TDX'],
  [0x4000_0000, 'hypervisor: vendor, highest leaf'],
  [0x4000_0001, 'hypervisor: interface or features'],
  [0x4000_0010, 'hypervisor: frequencies'],
  [LEAF_ROOT, 'CommonHV: root'],
  [LEAF_INTERFACES, 'CommonHV: interfaces'],
  [LEAF_FEATURES, 'CommonHV: features'],
  [LEAF_MSRS, 'CommonHV: MSRs'],
  [0x8000_0000, 'highest extended leaf'],
  [0x8000_0001, 'extended features'],
  [0x8000_0002, 'brand'],
  [0x8000_0003, 'brand'],
  [0x8000_0004, 'brand'],
  [0x8000_0005, 'AMD: first-level caches'],
  [0x8000_0006, 'second-level cache'],
  [0x8000_0007, 'power management, invariant TSC'],
  [0x8000_0008, 'address widths'],
  [0x8000_000a, 'AMD: SVM'],
  [0x8000_001d, 'AMD: caches'],
  [0x8000_001e, 'AMD: topology'],
  [0x8000_001f, 'AMD: memory encryption'],
  [0x8000_0021, 'AMD: extended features 2'],
]);

/** Leaves with subleaves; of all others ECX is no part of the question. */
const INDEXED = new Set([
  ...[0x4, 0x7, 0xb, 0xd, 0xf, 0x10, 0x12, 0x14, 0x17, 0x18, 0x1a, 0x1b, 0x1d, 0x1f, 0x20, 0x23, 0x24],
  LEAF_INTERFACES,
  ...[0x8000_001d, 0x8000_0020, 0x8000_0026],
]);

const MSRS: ReadonlyMap<number, string> = new Map([
  [0x10, 'IA32_TIME_STAMP_COUNTER'],
  [0x11, 'KVM: wall clock (old)'],
  [0x12, 'KVM: system time (old)'],
  [0x17, 'IA32_PLATFORM_ID'],
  [0x1b, 'IA32_APIC_BASE'],
  [0x3a, 'IA32_FEATURE_CONTROL'],
  [0x48, 'IA32_SPEC_CTRL'],
  [0x49, 'IA32_PRED_CMD'],
  [0x79, 'IA32_BIOS_UPDT_TRIG'],
  [0x8b, 'IA32_BIOS_SIGN_ID'],
  [0xce, 'MSR_PLATFORM_INFO'],
  [0xe7, 'IA32_MPERF'],
  [0xe8, 'IA32_APERF'],
  [0xfe, 'IA32_MTRRCAP'],
  [0x10a, 'IA32_ARCH_CAPABILITIES'],
  [0x140, 'MSR_MISC_FEATURES_ENABLES'],
  [0x174, 'IA32_SYSENTER_CS'],
  [0x175, 'IA32_SYSENTER_ESP'],
  [0x176, 'IA32_SYSENTER_EIP'],
  [0x179, 'IA32_MCG_CAP'],
  [0x17a, 'IA32_MCG_STATUS'],
  [0x186, 'IA32_PERFEVTSEL0'],
  [0x198, 'IA32_PERF_STATUS'],
  [0x19c, 'IA32_THERM_STATUS'],
  [0x1a0, 'IA32_MISC_ENABLE'],
  [0x1b0, 'IA32_ENERGY_PERF_BIAS'],
  [0x1d9, 'IA32_DEBUGCTL'],
  [0x277, 'IA32_PAT'],
  [0x2ff, 'IA32_MTRR_DEF_TYPE'],
  [0x345, 'IA32_PERF_CAPABILITIES'],
  [0x6e0, 'IA32_TSC_DEADLINE'],
  [0xda0, 'IA32_XSS'],
  [0xc000_0080, 'IA32_EFER'],
  [0xc000_0081, 'IA32_STAR'],
  [0xc000_0082, 'IA32_LSTAR'],
  [0xc000_0083, 'IA32_CSTAR'],
  [0xc000_0084, 'IA32_FMASK'],
  [0xc000_0100, 'IA32_FS_BASE'],
  [0xc000_0101, 'IA32_GS_BASE'],
  [0xc000_0102, 'IA32_KERNEL_GS_BASE'],
  [0xc000_0103, 'IA32_TSC_AUX'],
  [0xc001_0015, 'AMD: HWCR'],
  [0xc001_001f, 'AMD: NB_CFG'],
  [0xc001_0131, 'AMD: SEV_STATUS'],
  [0x4b56_4d00, 'KVM: wall clock'],
  [0x4b56_4d01, 'KVM: system time'],
  [0x4b56_4d02, 'KVM: asynchronous page faults'],
  [0x4b56_4d03, 'KVM: steal time'],
  [0x4b56_4d04, 'KVM: end of interrupt'],
]);

/** The name of a leaf, or nothing. */
export const leafName = (leaf: number): string => LEAVES.get(leaf) ?? '';
/** Whether a leaf has subleaves. */
export const hasSubleaves = (leaf: number): boolean => INDEXED.has(leaf);

/** The name of an MSR; `own` has the names of the layer's, which go first. */
export function msrName(index: number, own: ReadonlyMap<number, string>): string {
  if (index >= 0x200 && index <= 0x20f)
    return `IA32_MTRR_PHYS${index % 2 === 0 ? 'BASE' : 'MASK'}${(index - 0x200) >> 1}`;
  if (index >= 0x800 && index <= 0x8ff) return 'x2APIC';
  return own.get(index) ?? MSRS.get(index) ?? '';
}

/** "1 CPUID", "2 CPUIDs". */
export const plural = (count: number, noun: string): string => `${count} ${noun}${count === 1 ? '' : 's'}`;
