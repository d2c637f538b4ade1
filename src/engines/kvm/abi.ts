/**
 * The numbers and struct layouts of `<linux/kvm.h>` on x86-64 that this engine uses, under the kernel's names less their
 * prefixes. A test compares every one of them with the header.
 */

const NONE = 0;
const WRITE = 1; // user space writes, the kernel reads
const READ = 2;

/** An ioctl's number, as <asm-generic/ioctl.h> composes it; KVM's type byte is AEH. */
const request = (direction: number, number: number, size = 0): number =>
  ((direction << 30) | (size << 16) | (0xae << 8) | number) >>> 0;

/** Struct sizes in bytes and the offsets of their fields. */
export const layout = {
  kvm_run: {
    size: 2352,
    immediate_exit: 1,
    exit_reason: 8,
    'fail_entry.hardware_entry_failure_reason': 32,
    'io.direction': 32,
    'io.size': 33,
    'io.port': 34,
    'io.count': 36,
    'io.data_offset': 40,
    'mmio.phys_addr': 32,
    'mmio.data': 40,
    'mmio.len': 48,
    'mmio.is_write': 52,
    'emulation_failure.ndata': 36,
    'emulation_failure.flags': 40,
    'emulation_failure.insn_size': 48,
    'emulation_failure.insn_bytes': 49,
    'internal.suberror': 32,
    'system_event.type': 32,
    'msr.error': 32,
    'msr.reason': 40,
    'msr.index': 44,
    'msr.data': 48,
  },
  kvm_regs: { size: 144, rax: 0, rbx: 8, rcx: 16, rdx: 24, rsi: 32, rdi: 40, rsp: 48, rip: 128, rflags: 136 },
  kvm_sregs: {
    size: 312,
    cs: 0,
    ds: 24,
    es: 48,
    fs: 72,
    gs: 96,
    ss: 120,
    gdt: 192,
    idt: 208,
    cr0: 224,
    cr2: 232,
    cr3: 240,
    cr4: 248,
    efer: 264,
  },
  kvm_segment: {
    size: 24,
    base: 0,
    limit: 8,
    selector: 12,
    type: 14,
    present: 15,
    dpl: 16,
    db: 17,
    s: 18,
    l: 19,
    g: 20,
    avl: 21,
    unusable: 22,
  },
  kvm_dtable: { size: 16, base: 0, limit: 8 },
  kvm_cpuid2: { size: 8, nent: 0, entries: 8 },
  kvm_cpuid_entry2: { size: 40, function: 0, index: 4, flags: 8, eax: 12, ebx: 16, ecx: 20, edx: 24 },
  kvm_userspace_memory_region: {
    size: 32,
    slot: 0,
    flags: 4,
    guest_phys_addr: 8,
    memory_size: 16,
    userspace_addr: 24,
  },
  kvm_enable_cap: { size: 104, cap: 0, flags: 4, args: 8 },
  kvm_msr_filter: { size: 392, flags: 0, ranges: 8 },
  kvm_msr_filter_range: { size: 24, flags: 0, nmsrs: 4, base: 8, bitmap: 16 },
  kvm_signal_mask: { size: 4, len: 0, sigset: 4 },
  kvm_pit_config: { size: 64, flags: 0 },
  kvm_irq_level: { size: 8, irq: 0, level: 4 },
  kvm_mp_state: { size: 4, mp_state: 0 },
} as const;

/** Requests, each to /dev/kvm, to a VM or to a vCPU. */
export const ioctl = {
  GET_API_VERSION: request(NONE, 0x00),
  CREATE_VM: request(NONE, 0x01),
  CHECK_EXTENSION: request(NONE, 0x03),
  GET_VCPU_MMAP_SIZE: request(NONE, 0x04),
  GET_SUPPORTED_CPUID: request(READ | WRITE, 0x05, layout.kvm_cpuid2.size),
  GET_SUPPORTED_HV_CPUID: request(READ | WRITE, 0xc1, layout.kvm_cpuid2.size),

  CREATE_VCPU: request(NONE, 0x41),
  SET_USER_MEMORY_REGION: request(WRITE, 0x46, layout.kvm_userspace_memory_region.size),
  SET_TSS_ADDR: request(NONE, 0x47),
  SET_IDENTITY_MAP_ADDR: request(WRITE, 0x48, 8),
  CREATE_IRQCHIP: request(NONE, 0x60),
  IRQ_LINE: request(WRITE, 0x61, layout.kvm_irq_level.size),
  CREATE_PIT2: request(WRITE, 0x77, layout.kvm_pit_config.size),
  ENABLE_CAP: request(WRITE, 0xa3, layout.kvm_enable_cap.size),
  X86_SET_MSR_FILTER: request(WRITE, 0xc6, layout.kvm_msr_filter.size),

  RUN: request(NONE, 0x80),
  GET_REGS: request(READ, 0x81, layout.kvm_regs.size),
  SET_REGS: request(WRITE, 0x82, layout.kvm_regs.size),
  GET_SREGS: request(READ, 0x83, layout.kvm_sregs.size),
  SET_SREGS: request(WRITE, 0x84, layout.kvm_sregs.size),
  SET_SIGNAL_MASK: request(WRITE, 0x8b, layout.kvm_signal_mask.size),
  SET_CPUID2: request(WRITE, 0x90, layout.kvm_cpuid2.size),
  GET_MP_STATE: request(READ, 0x98, layout.kvm_mp_state.size),
} as const;

/** Capabilities, asked for with CHECK_EXTENSION. */
export const cap = {
  IRQCHIP: 0,
  USER_MEMORY: 3,
  SET_TSS_ADDR: 4,
  EXT_CPUID: 7,
  NR_VCPUS: 9,
  MP_STATE: 14,
  PIT2: 33,
  SET_IDENTITY_MAP_ADDR: 37,
  MAX_VCPUS: 66,
  IMMEDIATE_EXIT: 136,
  X86_USER_SPACE_MSR: 188,
  X86_MSR_FILTER: 189,
  SYS_HYPERV_CPUID: 191,
} as const;

/** Why KVM_RUN came back: kvm_run.exit_reason. */
export const exit = {
  UNKNOWN: 0,
  EXCEPTION: 1,
  IO: 2,
  HYPERCALL: 3,
  DEBUG: 4,
  HLT: 5,
  MMIO: 6,
  IRQ_WINDOW_OPEN: 7,
  SHUTDOWN: 8,
  FAIL_ENTRY: 9,
  INTR: 10,
  INTERNAL_ERROR: 17,
  SYSTEM_EVENT: 24,
  X86_RDMSR: 29,
  X86_WRMSR: 30,
} as const;

/** What is neither a request, a capability nor an exit, under its whole name. */
export const value = {
  KVM_API_VERSION: 12,
  KVM_EXIT_IO_IN: 0,
  KVM_EXIT_IO_OUT: 1,
  KVM_CPUID_FLAG_SIGNIFCANT_INDEX: 1,
  KVM_MSR_EXIT_REASON_INVAL: 1,
  KVM_MSR_EXIT_REASON_UNKNOWN: 2,
  KVM_MSR_EXIT_REASON_FILTER: 4,
  KVM_MSR_FILTER_READ: 1,
  KVM_MSR_FILTER_WRITE: 2,
  KVM_MP_STATE_RUNNABLE: 0,
  KVM_MP_STATE_UNINITIALIZED: 1,
  KVM_MP_STATE_HALTED: 3,
  KVM_INTERNAL_ERROR_EMULATION: 1,
  KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES: 1,
  KVM_PIT_SPEAKER_DUMMY: 1,
} as const;
