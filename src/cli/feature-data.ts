/** The feature leaves of hypervisors' interfaces, as data: bits, fields, and the public specification of each. */

import { type FeatureRegister, type FeatureTable, whole } from './feature-table.ts';
import { HYPERV, VIRTUALIZATION_STACK } from './hyperv-features.ts';

/** VMware's proposal of 2008, which other hypervisors took over: lkml.org/lkml/2008/10/1/246 */
const TIMING: readonly FeatureRegister[] = [
  whole(0x10, 'eax', 'TSC frequency in kHz'),
  whole(0x10, 'ebx', 'local APIC frequency in kHz'),
];

const KVM: FeatureTable = {
  name: 'KVM',
  source: 'linux/Documentation/virt/kvm/x86/cpuid.rst',
  registers: [
    {
      ...{ offset: 1, register: 'eax', title: 'features' },
      bits: {
        ...{
          0: 'clocksource',
          1: 'nop_io_delay',
          2: 'mmu_op',
          3: 'clocksource2',
          4: 'async_pf',
          5: 'steal_time',
        },
        ...{ 6: 'pv_eoi', 7: 'pv_unhalt', 9: 'pv_tlb_flush', 10: 'async_pf_vmexit', 11: 'pv_send_ipi' },
        ...{ 12: 'poll_control', 13: 'pv_sched_yield', 14: 'async_pf_int', 15: 'msi_ext_dest_id' },
        ...{ 16: 'hc_map_gpa_range', 17: 'migration_control', 24: 'clocksource_stable' },
      },
    },
    { offset: 1, register: 'edx', title: 'hints', bits: { 0: 'realtime' } },
    ...TIMING,
  ],
};

const XEN: FeatureTable = {
  name: 'Xen',
  source: 'xen/include/public/arch-x86/cpuid.h',
  registers: [
    {
      offset: 1,
      register: 'eax',
      title: 'version',
      fields: [
        ['major', 16, 16],
        ['minor', 0, 16],
      ],
    },
    whole(2, 'eax', 'hypercall pages'),
    whole(2, 'ebx', 'MSR base'),
    { offset: 2, register: 'ecx', title: 'features', bits: { 0: 'mmu_pt_update_preserve_ad' } },
    {
      offset: 3,
      register: 'eax',
      title: 'time',
      bits: { 0: 'emulated TSC', 1: 'safe host TSC', 2: 'RDTSCP at boot' },
    },
    whole(3, 'ebx', 'TSC mode'),
    whole(3, 'ecx', 'TSC frequency in kHz'),
    whole(3, 'edx', 'incarnation'),
    whole(3, 'ecx', 'TSC multiplier', 1),
    whole(3, 'edx', 'TSC shift', 1),
    whole(3, 'eax', 'host frequency in kHz', 2),
    {
      ...{ offset: 4, register: 'eax', title: 'HVM' },
      bits: {
        ...{ 0: 'APIC registers', 1: 'x2APIC accesses', 2: 'IOMMU mappings of foreign memory', 3: 'vCPU id' },
        ...{ 4: 'domain id', 5: 'extended destination id', 6: 'per-vCPU upcall vector' },
      },
    },
    whole(4, 'ebx', 'vCPU id'),
    whole(4, 'ecx', 'domain id'),
    { offset: 5, register: 'ebx', title: 'PV', fields: [['machine address bits', 0, 8]] },
  ],
};

const VMWARE: FeatureTable = {
  name: 'VMware',
  source: 'lkml.org/lkml/2008/10/1/246; linux/arch/x86/include/asm/vmware.h',
  registers: [
    ...TIMING,
    { offset: 0x10, register: 'ecx', title: 'hypercalls', bits: { 0: 'VMMCALL', 1: 'VMCALL' } },
  ],
};
const VIRTUALBOX: FeatureTable = {
  name: 'VirtualBox',
  source: 'VirtualBox, GIMMinimal: VMware’s leaf',
  registers: TIMING,
};
const BHYVE: FeatureTable = {
  name: 'bhyve',
  source: 'freebsd/sys/x86/include/bhyve.h',
  registers: [{ offset: 1, register: 'eax', title: 'features', bits: { 0: 'extended destination id' } }],
};
const ACRN: FeatureTable = {
  name: 'ACRN',
  source: 'linux/arch/x86/include/asm/acrn.h',
  registers: [{ offset: 1, register: 'eax', title: 'features', bits: { 0: 'privileged VM' } }, TIMING[0]!],
};

/** Tables by signature; "Hv#1" counts from the leaf before it. */
export const FEATURES: Readonly<Record<string, FeatureTable>> = {
  'KVMKVMKVM\0\0\0': KVM,
  'Hv#1': HYPERV,
  'VS#1': VIRTUALIZATION_STACK,
  XenVMMXenVMM: XEN,
  VMwareVMware: VMWARE,
  VBoxVBoxVBox: VIRTUALBOX,
  'bhyve bhyve ': BHYVE,
  ACRNACRNACRN: ACRN,
};

/** AMD manual volume 3, CPUID 8000001FH: the processor's own leaf, shown at a glance where it is recorded. */
export const MEMORY_ENCRYPTION: FeatureTable = {
  name: 'AMD memory encryption',
  source: 'AMD64 manual volume 3, CPUID Fn8000_001F; linux/arch/x86/include/asm/cpufeatures.h',
  registers: [
    {
      ...{ offset: 0, register: 'eax', title: 'features' },
      bits: {
        ...{ 0: 'SME', 1: 'SEV', 2: 'page flush MSR', 3: 'SEV-ES', 4: 'SEV-SNP', 5: 'VMPL', 6: 'RMPQUERY' },
        ...{
          7: 'VMPL supervisor shadow stack',
          8: 'secure TSC',
          9: 'TSC_AUX',
          10: 'hardware cache coherence',
        },
        ...{
          11: '64-bit host',
          12: 'restricted injection',
          13: 'alternate injection',
          14: 'debug virtualization',
        },
        ...{ 15: 'prevent host IBS', 16: 'virtual transparent encryption', 17: 'VMGEXIT parameter' },
        ...{ 18: 'virtual TOM MSR', 19: 'IBS virtualization', 21: 'RMPREAD', 23: 'segmented RMP' },
        ...{ 24: 'VMSA register protection', 25: 'SMT protection', 26: 'secure AVIC' },
        ...{
          27: 'allowed SEV features',
          28: 'SVSM page MSR',
          29: 'nested SNP MSRs',
          30: 'writes to RMP pages in use',
        },
      },
    },
    {
      offset: 0,
      register: 'ebx',
      title: 'addresses',
      fields: [
        ['C-bit', 0, 6],
        ['reduced physical bits', 6, 6],
        ['VMPLs', 12, 4],
      ],
    },
    whole(0, 'ecx', 'encrypted guests at most'),
    whole(0, 'edx', 'first ASID of guests with SEV alone'),
  ],
};

/** Of a TDX guest, from leaf 80000008H: the shared bit of an address is the highest of its guest-physical width. */
export const TDX_ADDRESSES: FeatureTable = {
  name: 'Intel TDX',
  source:
    'Intel TDX Module Base Architecture Specification, "Guest Physical Address Space"; SDM, CPUID 80000008H',
  registers: [
    {
      ...{ offset: 0, register: 'eax', title: 'address bits' },
      fields: [
        ['guest-physical', 16, 8],
        ['physical', 0, 8],
        ['linear', 8, 8],
      ],
    },
  ],
};
