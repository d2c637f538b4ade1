/** Hyper-V's feature leaves, 40000002H to 4000000CH. */
import { type FeatureTable, whole } from './feature-table.ts';

export const HYPERV: FeatureTable = {
  name: 'Hyper-V',
  source:
    'Hyper-V TLFS, "Feature and Interface Discovery"; linux/include/hyperv/hvgdk_mini.h; openvmm/vm/hv1/hvdef',
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
    whole(2, 'ecx', 'service pack'),
    {
      ...{ offset: 2, register: 'edx', title: 'service' },
      fields: [
        ['branch', 24, 8],
        ['number', 0, 24],
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
          14: 'root scheduler MSR',
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
          3: 'message buffers',
          4: 'post messages',
          5: 'signal events',
        },
        ...{
          6: 'create port',
          7: 'connect port',
          8: 'statistics',
          11: 'debugging',
          12: 'CPU management',
          13: 'profiler',
          14: 'VP exit tracing',
          15: 'extended flush ranges',
        },
        ...{
          16: 'VSM',
          17: 'VP registers',
          19: 'XMM hypercall output',
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
      bits: {
        4: 'HPET for C3',
        5: 'invariant MPERF',
        6: 'supervisor shadow stacks',
        7: 'architectural PMU',
        8: 'exception trap intercept',
        9: 'interrupt injection at VP dispatch',
        10: 'GHCB root mapping',
      },
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
          16: 'SVM features',
          17: 'SINT polling',
        },
        ...{
          18: 'hypercall MSR lock',
          19: 'direct synthetic timers',
          20: 'VSM PAT register',
          21: 'VSM BNDCFGS register',
        },
        ...{
          22: 'watchdog timer',
          23: 'unhalted timer',
          24: 'device domains',
          25: 'first stage device domains',
        },
        ...{
          26: 'last branch records',
          27: 'processor trace',
          28: 'flush across VTLs',
          29: 'SPEC_CTRL at idle',
        },
        ...{ 30: 'flags of GVA translation', 31: 'APIC EOI intercept' },
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
        ...{ 14: 'enlightened VMCS', 15: 'synced timeline', 16: 'core scheduler', 17: 'direct local flush' },
        ...{ 18: 'no core sharing', 19: 'x2APIC', 20: 'time restored on resume', 21: 'MMIO hypercalls' },
        ...{ 22: 'GPA pinning', 23: 'waking of VPs' },
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
        ...{ 9: 'volatile synthetic timers', 14: 'physical destination mode', 15: 'VMFUNC for alias maps' },
        ...{ 16: 'memory zeroing' },
        ...{ 17: 'unrestricted guest', 18: 'resource allocation', 19: 'resource monitoring' },
        ...{ 20: 'virtual PMU', 21: 'virtual last branch records', 22: 'virtual processor trace' },
        // Bit 24 is "child x2APIC recommended" in OpenVMM; the TLFS' name stands here.
        ...{ 23: 'APIC emulation', 24: 'ACPI watchdog table in use', 25: 'hardware watchdog reserved' },
        ...{ 26: 'device access tracking', 27: 'GPA access tracking by hardware' },
      },
      fields: [['level of this guest', 10, 4]],
    },
    { offset: 6, register: 'ebx', title: 'device domains', fields: [['input width', 0, 8]] },
    {
      ...{ offset: 7, register: 'eax', title: 'CPU management' },
      bits: {
        0: 'start of logical processors',
        1: 'root virtual processors',
        2: 'performance counter sync',
        31: 'identity bit',
      },
    },
    {
      ...{ offset: 7, register: 'ebx', title: 'CPU management' },
      bits: { 0: 'processor power management', 1: 'MWAIT idle states', 2: 'idling of logical processors' },
    },
    {
      offset: 7,
      register: 'ecx',
      title: 'CPU management',
      bits: { 0: 'remapping of uncached guest memory' },
    },
    {
      ...{ offset: 8, register: 'eax', title: 'shared virtual memory' },
      bits: { 0: 'supported' },
      fields: [['PASIDs of a space at most', 11, 21]],
    },
    {
      ...{ offset: 9, register: 'eax', title: 'nested hypervisor: access' },
      bits: {
        2: 'SynIC',
        4: 'interrupt control MSRs',
        5: 'hypercall MSRs',
        6: 'VP index',
        12: 'reenlightenment',
      },
    },
    {
      ...{ offset: 9, register: 'edx', title: 'nested hypervisor: features' },
      bits: { 4: 'XMM hypercall input', 15: 'XMM hypercall output', 17: 'SINT polling' },
    },
    {
      ...{ offset: 0xa, register: 'eax', title: 'nested virtualization' },
      bits: {
        17: 'direct virtual flush',
        18: 'GPA flush hypercalls',
        19: 'enlightened MSR bitmap',
        20: 'combined #VE',
        21: 'guest IA32_DEBUGCTL',
        22: 'enlightened AMD TLB',
      },
      fields: [
        ['enlightened VMCS from version', 0, 8],
        ['enlightened VMCS to version', 8, 8],
      ],
    },
    {
      ...{ offset: 0xa, register: 'ebx', title: 'nested virtualization' },
      bits: { 0: 'PERF_GLOBAL_CTRL in the enlightened VMCS' },
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

/** "VS#1", counted from its own leaf, 40000081H: the virtualization stack above the hypervisor. */
export const VIRTUALIZATION_STACK: FeatureTable = {
  name: 'VS#1',
  source: 'linux/include/hyperv/hvgdk_mini.h; openvmm/vm/hv1/hvdef',
  registers: [
    {
      ...{ offset: 1, register: 'eax', title: 'partition properties' },
      bits: { 0: 'portable', 1: 'debug device', 2: 'extended IOAPIC entries' },
    },
  ],
};
