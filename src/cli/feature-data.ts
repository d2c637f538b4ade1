/** The feature leaves of hypervisors' interfaces, as data: bits, fields, and the public specification of each. */

export type Register = 'eax' | 'ebx' | 'ecx' | 'edx';

/** A register of a leaf, counted from the interface's first leaf. */
export interface FeatureRegister {
  readonly offset: number;
  readonly subleaf?: number;
  readonly register: Register;
  readonly title: string;
  /** Names by bit. */
  readonly bits?: Readonly<Record<number, string>>;
  /** Numbers inside of the register: name, lowest bit, width. */
  readonly fields?: readonly (readonly [name: string, shift: number, width: number])[];
}

export interface FeatureTable {
  readonly name: string;
  readonly source: string;
  readonly registers: readonly FeatureRegister[];
}

/** A whole register as one number. */
const whole = (offset: number, register: Register, name: string, subleaf = 0): FeatureRegister => ({
  ...{ offset, subleaf, register, title: name },
  fields: [[name, 0, 32]],
});

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

const HYPERV: FeatureTable = {
  name: 'Hyper-V',
  source: 'Hyper-V TLFS, "Feature and Interface Discovery"; linux/include/hyperv/hvgdk_mini.h',
  registers: [
    whole(2, 'eax', 'build'),
    {
      offset: 2,
      register: 'ebx',
      title: 'version',
      fields: [
        ['major', 16, 16],
        ['minor', 0, 16],
      ],
    },
    {
      ...{ offset: 3, register: 'eax', title: 'access privileges' },
      bits: {
        ...{ 0: 'VP runtime', 1: 'reference counter', 2: 'SynIC', 3: 'synthetic timers', 4: 'APIC MSRs' },
        ...{ 5: 'hypercall MSRs', 6: 'VP index', 7: 'reset MSR', 8: 'statistics pages', 9: 'reference TSC' },
        ...{
          10: 'guest idle MSR',
          11: 'frequency MSRs',
          12: 'debug MSRs',
          13: 'reenlightenment',
          15: 'invariant TSC',
        },
      },
    },
    {
      ...{ offset: 3, register: 'ebx', title: 'partition privileges' },
      bits: {
        ...{
          0: 'create partitions',
          1: 'partition id',
          2: 'memory pool',
          4: 'post messages',
          5: 'signal events',
        },
        ...{ 6: 'create port', 7: 'connect port', 8: 'statistics', 11: 'debugging', 12: 'CPU management' },
        ...{
          16: 'VSM',
          17: 'VP registers',
          20: 'extended hypercalls',
          21: 'start virtual processor',
          22: 'isolation',
        },
      },
    },
    {
      offset: 3,
      register: 'ecx',
      title: 'power management',
      bits: { 4: 'HPET for C3' },
      fields: [['deepest C-state', 0, 4]],
    },
    {
      ...{ offset: 3, register: 'edx', title: 'features' },
      bits: {
        ...{ 0: 'MWAIT', 1: 'guest debugging', 2: 'performance monitor', 3: 'dynamic partitioning' },
        ...{ 4: 'XMM hypercall input', 5: 'guest idle', 6: 'hypervisor sleep', 7: 'NUMA distances' },
        ...{
          8: 'timer frequencies',
          9: 'synthetic machine checks',
          10: 'crash MSRs',
          11: 'debug MSRs',
          12: 'NPIEP',
        },
        ...{
          13: 'disable hypervisor',
          14: 'extended flush ranges',
          15: 'XMM hypercall output',
          17: 'SINT polling',
        },
        ...{
          18: 'hypercall MSR lock',
          19: 'direct synthetic timers',
          20: 'VSM PAT register',
          21: 'VSM BNDCFGS register',
        },
        ...{ 23: 'unhalted timer', 26: 'last branch records' },
      },
    },
    {
      ...{ offset: 4, register: 'eax', title: 'recommendations' },
      bits: {
        ...{
          0: 'address space switch',
          1: 'local TLB flush',
          2: 'remote TLB flush',
          3: 'APIC MSRs',
          4: 'reset MSR',
        },
        ...{
          5: 'relaxed timing',
          6: 'DMA remapping',
          7: 'interrupt remapping',
          8: 'x2APIC MSRs',
          9: 'no AutoEOI',
        },
        ...{
          10: 'cluster IPI',
          11: 'extended processor masks',
          12: 'nested under Hyper-V',
          13: 'INT for MBEC',
        },
        ...{ 14: 'enlightened VMCS', 15: 'synced timeline', 17: 'direct local flush', 18: 'no core sharing' },
      },
    },
    whole(4, 'ebx', 'spinlock retries'),
    { offset: 4, register: 'ecx', title: 'addresses', fields: [['physical address bits', 0, 7]] },
    whole(5, 'eax', 'virtual processors at most'),
    whole(5, 'ebx', 'logical processors at most'),
    whole(5, 'ecx', 'interrupt vectors for remapping'),
    {
      ...{ offset: 6, register: 'eax', title: 'hardware features in use' },
      bits: {
        ...{
          0: 'APIC overlay',
          1: 'MSR bitmaps',
          2: 'performance counters',
          3: 'second level address translation',
        },
        ...{
          4: 'DMA remapping',
          5: 'interrupt remapping',
          6: 'memory scrubber',
          7: 'DMA protection',
          8: 'HPET',
        },
        ...{ 9: 'volatile synthetic timers' },
      },
    },
    {
      ...{ offset: 0xa, register: 'eax', title: 'nested virtualization' },
      bits: {
        17: 'direct virtual flush',
        18: 'GPA flush hypercalls',
        19: 'enlightened MSR bitmap',
        20: 'combined #VE',
        22: 'enlightened AMD TLB',
      },
      fields: [
        ['enlightened VMCS from version', 0, 8],
        ['enlightened VMCS to version', 8, 8],
      ],
    },
    { offset: 0xc, register: 'eax', title: 'isolation', bits: { 0: 'paravisor' } },
    {
      ...{ offset: 0xc, register: 'ebx', title: 'isolation' },
      bits: { 5: 'shared GPA boundary active' },
      fields: [
        ['isolation type (1 VBS, 2 SEV-SNP, 3 TDX)', 0, 4],
        ['shared GPA boundary bits', 6, 6],
      ],
    },
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

const VMWARE: FeatureTable = { name: 'VMware', source: 'lkml.org/lkml/2008/10/1/246', registers: TIMING };
const VIRTUALBOX: FeatureTable = {
  name: 'VirtualBox',
  source: 'VirtualBox, GIMMinimal: VMware’s leaf',
  registers: TIMING,
};
const BHYVE: FeatureTable = {
  name: 'bhyve',
  source: 'freebsd/sys/amd64/vmm/x86.c',
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
  XenVMMXenVMM: XEN,
  VMwareVMware: VMWARE,
  VBoxVBoxVBox: VIRTUALBOX,
  'bhyve bhyve ': BHYVE,
  ACRNACRNACRN: ACRN,
};

/** AMD manual volume 3, CPUID 8000001FH: the processor's own leaf, shown at a glance where it is recorded. */
export const MEMORY_ENCRYPTION: FeatureTable = {
  name: 'AMD memory encryption',
  source: 'AMD64 manual volume 3, CPUID Fn8000_001F',
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
  ],
};
