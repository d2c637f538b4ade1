/** The processor's own feature leaves by Linux' names, for `detect --diff`. */
import type { FeatureRegister, FeatureTable } from './feature-table.ts';

/** Names of bits 0, 1, …; `-` for one without a name. */
const list = (names: string): Readonly<Record<number, string>> =>
  Object.fromEntries([...names.trim().split(/\s+/).entries()].filter(([, name]) => name !== '-'));

const register = (offset: number, name: FeatureRegister['register'], bits: string): FeatureRegister => ({
  ...{ offset, register: name, title: 'features' },
  bits: list(bits),
});

/** SDM volume 2, CPUID leaves 01H and 07H; AMD64 manual volume 3, CPUID Fn8000_0001; linux/arch/x86/include/asm/cpufeatures.h. */
export const PROCESSOR_FEATURES: FeatureTable = {
  name: 'processor',
  source: 'SDM volume 2 and AMD64 manual volume 3, CPUID; linux/arch/x86/include/asm/cpufeatures.h',
  registers: [
    register(
      0x1,
      'ecx',
      `pni pclmulqdq dtes64 monitor ds_cpl vmx smx est tm2 ssse3 cid sdbg fma cx16 xtpr pdcm - pcid dca sse4_1 sse4_2
      x2apic movbe popcnt tsc_deadline_timer aes xsave osxsave avx f16c rdrand hypervisor`,
    ),
    register(
      0x1,
      'edx',
      `fpu vme de pse tsc msr pae mce cx8 apic - sep mtrr pge mca cmov pat pse36 pn clflush - dts acpi mmx fxsr sse sse2
      ss ht tm ia64 pbe`,
    ),
    register(
      0x7,
      'ebx',
      `fsgsbase tsc_adjust sgx bmi1 hle avx2 fdp_excptn_only smep bmi2 erms invpcid rtm cqm zero_fcs_fds mpx rdt_a avx512f
      avx512dq rdseed adx smap avx512ifma - clflushopt clwb intel_pt avx512pf avx512er avx512cd sha_ni avx512bw avx512vl`,
    ),
    register(
      0x7,
      'ecx',
      `prefetchwt1 avx512vbmi umip pku ospke waitpkg avx512_vbmi2 shstk gfni vaes vpclmulqdq avx512_vnni avx512_bitalg tme
      avx512_vpopcntdq - la57 - - - - - rdpid - bus_lock_detect cldemote - movdiri movdir64b enqcmd sgx_lc pks`,
    ),
    register(
      0x7,
      'edx',
      `- - avx512_4vnniw avx512_4fmaps fsrm uintr - - avx512_vp2intersect srbds_ctrl md_clear rtm_always_abort -
      tsx_force_abort serialize hybrid_cpu tsxldtrk - pconfig arch_lbr ibt - amx_bf16 avx512_fp16 amx_tile amx_int8
      spec_ctrl intel_stibp flush_l1d arch_capabilities core_capabilities spec_ctrl_ssbd`,
    ),
    register(
      0x8000_0001,
      'ecx',
      `lahf_lm cmp_legacy svm extapic cr8_legacy abm sse4a misalignsse 3dnowprefetch osvw ibs xop skinit wdt - lwp fma4 tce
      - nodeid_msr - tbm topoext perfctr_core perfctr_nb - bpext ptsc perfctr_llc mwaitx`,
    ),
    register(
      0x8000_0001,
      'edx',
      `- - - - - - - - - - - syscall - - - - - - - mp nx - mmxext - - fxsr_opt pdpe1gb rdtscp - lm 3dnowext 3dnow`,
    ),
  ],
};
