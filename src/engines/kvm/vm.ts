/** KVM from the outside in: the system, a virtual machine, its vCPUs (kernel documentation, virt/kvm/api.rst). */
import type { Loaded } from '../../boot/index.ts';
import { MachineError } from '../../cpu.ts';
import type { Ffi } from '../ffi.ts';
import { MAP, must, OPEN, PROT } from '../ffi.ts';
import { cap, ioctl, layout, value } from './abi.ts';
import { kvmUnavailable } from './device.ts';
import { mpTable } from './mp-table.ts';
import { enter } from './registers.ts';
import type { VcpuHandle } from './vcpu.ts';

export interface System {
  readonly fd: number;
  has(capability: number): number;
  close(): void;
}

/** What this engine cannot do without. */
const NEEDED = ['USER_MEMORY', 'EXT_CPUID', 'MP_STATE', 'IMMEDIATE_EXIT', 'X86_USER_SPACE_MSR'] as const;
/** What a machine with interrupts needs besides. */
const NEEDED_FOR_INTERRUPTS = ['IRQCHIP', 'PIT2'] as const;

/** Opens the device and checks its version and capabilities; a `MachineError` names what is missing. */
export function openSystem(sys: Ffi, path: string): System {
  const why = kvmUnavailable(path);
  const fd = why === undefined ? sys.open(path, OPEN.readWrite | OPEN.closeOnExec) : -1;
  if (fd < 0) {
    throw new MachineError(
      `no KVM: cannot open ${path}: ${why ?? `error ${-fd}`}; the engine v86 needs nothing of the machine`,
    );
  }
  const close = (): void => void sys.close(fd);
  const has = (capability: number): number => sys.ioctl(fd, ioctl.CHECK_EXTENSION, capability);
  const version = sys.ioctl(fd, ioctl.GET_API_VERSION, 0);
  const missing = NEEDED.filter((name) => has(cap[name]) <= 0);
  if (version === value.KVM_API_VERSION && missing.length === 0) return { fd, has, close };
  close();
  if (version < 0) throw new MachineError(`no KVM: ${path} is not KVM's device`);
  if (version !== value.KVM_API_VERSION) throw new MachineError(`expected KVM API 12, got ${version}`);
  throw new MachineError(`this KVM lacks ${missing.map((name) => `KVM_CAP_${name}`).join(', ')}`);
}

export interface VmOptions {
  readonly memory: number;
  readonly vcpus: number;
  /** With interrupt controllers and a timer, all in the kernel. */
  readonly interrupts: boolean;
  /** MSRs that are to come out to us though the kernel has them. */
  readonly msrs: readonly number[];
}

export interface Vm {
  readonly fd: number;
  readonly vcpus: readonly VcpuHandle[];
  /** Frees everything; no thread may be in a vCPU or use a view of its page any more. */
  free(): void;
}

/** Takes single MSRs away from the kernel: what its filter denies comes out to us. */
function filterMsrs(sys: Ffi, system: System, fd: number, msrs: readonly number[]): void {
  if (system.has(cap.X86_MSR_FILTER) <= 0) throw new MachineError('this KVM lacks KVM_CAP_X86_MSR_FILTER');
  const range = layout.kvm_msr_filter_range;
  const view = new DataView(new ArrayBuffer(layout.kvm_msr_filter.size));
  // Every range is one MSR, and every bitmap the same zeros: denied.
  const zeros = sys.mmap(4096, PROT.read, MAP.private | MAP.anonymous, -1);
  msrs.forEach((index, i) => {
    const at = layout.kvm_msr_filter.ranges + i * range.size;
    view.setUint32(at + range.flags, value.KVM_MSR_FILTER_READ | value.KVM_MSR_FILTER_WRITE, true);
    view.setUint32(at + range.nmsrs, 1, true);
    view.setUint32(at + range.base, index, true);
    view.setBigUint64(at + range.bitmap, zeros, true);
  });
  const result = sys.ioctlAt(fd, ioctl.X86_SET_MSR_FILTER, new Uint8Array(view.buffer));
  sys.munmap(zeros, 4096);
  must(result, 'KVM_X86_SET_MSR_FILTER');
}

// Three pages and one that KVM keeps for itself on Intel processors, where nobody else has anything: below 4 GiB, above
// every memory and device of ours.
const TSS_ADDRESS = 0xfffb_d000;
const IDENTITY_MAP_ADDRESS = 0xfffb_c000n;

/** Makes a virtual machine with an image in its memory and its vCPUs at the entry. Frees what it made where it fails. */
export function createVm(sys: Ffi, system: System, loaded: Loaded, options: VmOptions): Vm {
  const undo: (() => void)[] = [];
  const free = (): void => {
    for (const step of undo.splice(0).reverse()) step();
  };
  try {
    const fd = must(sys.ioctl(system.fd, ioctl.CREATE_VM, 0), 'KVM_CREATE_VM');
    undo.push(() => sys.close(fd));
    enableMsrExits(sys, fd);
    if (options.msrs.length > 0) filterMsrs(sys, system, fd, options.msrs);
    reserveAddresses(sys, system, fd);
    if (options.interrupts) addInterrupts(sys, system, fd);
    const memory = mapped(sys, undo, options.memory, MAP.private | MAP.anonymous | MAP.noReserve, -1);
    setMemory(sys, fd, memory, options.memory);
    const table = options.interrupts && options.vcpus > 1 ? [mpTable(options.vcpus)] : [];
    for (const { address, bytes } of [...loaded.segments, ...table]) {
      if (address + bytes.length > options.memory) throw new RangeError('a segment is beyond the memory');
      sys.poke(memory + BigInt(address), bytes);
    }
    const runSize = must(sys.ioctl(system.fd, ioctl.GET_VCPU_MMAP_SIZE, 0), 'KVM_GET_VCPU_MMAP_SIZE');
    const vcpus = Array.from({ length: options.vcpus }, (_, id): VcpuHandle => {
      const vcpu = must(sys.ioctl(fd, ioctl.CREATE_VCPU, id), `KVM_CREATE_VCPU ${id}`);
      undo.push(() => sys.close(vcpu));
      const run = mapped(sys, undo, runSize, MAP.shared, vcpu);
      // With its own interrupt controller a second processor waits for the first to start it, as on a PC.
      if (id === 0 || !options.interrupts) enter(sys, vcpu, loaded, id);
      return { fd: vcpu, run, runSize };
    });
    return { fd, vcpus, free };
  } catch (error) {
    free();
    throw error;
  }
}

function mapped(sys: Ffi, undo: (() => void)[], length: number, flags: number, fd: number): bigint {
  const at = sys.mmap(length, PROT.read | PROT.write, flags, fd);
  undo.push(() => sys.munmap(at, length));
  return at;
}

/** Accesses to MSRs that the kernel does not know, or refuses, come out to us instead of raising #GP. */
function enableMsrExits(sys: Ffi, fd: number): void {
  const enable = new DataView(new ArrayBuffer(layout.kvm_enable_cap.size));
  enable.setUint32(layout.kvm_enable_cap.cap, cap.X86_USER_SPACE_MSR, true);
  const reasons =
    value.KVM_MSR_EXIT_REASON_INVAL | value.KVM_MSR_EXIT_REASON_UNKNOWN | value.KVM_MSR_EXIT_REASON_FILTER;
  enable.setBigUint64(layout.kvm_enable_cap.args, BigInt(reasons), true);
  must(sys.ioctlAt(fd, ioctl.ENABLE_CAP, new Uint8Array(enable.buffer)), 'KVM_CAP_X86_USER_SPACE_MSR');
}

function reserveAddresses(sys: Ffi, system: System, fd: number): void {
  if (system.has(cap.SET_TSS_ADDR) > 0)
    must(sys.ioctl(fd, ioctl.SET_TSS_ADDR, TSS_ADDRESS), 'KVM_SET_TSS_ADDR');
  if (system.has(cap.SET_IDENTITY_MAP_ADDR) <= 0) return;
  const identity = new Uint8Array(new BigUint64Array([IDENTITY_MAP_ADDRESS]).buffer);
  must(sys.ioctlAt(fd, ioctl.SET_IDENTITY_MAP_ADDR, identity), 'KVM_SET_IDENTITY_MAP_ADDR');
}

function addInterrupts(sys: Ffi, system: System, fd: number): void {
  const missing = NEEDED_FOR_INTERRUPTS.filter((name) => system.has(cap[name]) <= 0);
  if (missing.length > 0) {
    throw new MachineError(`this KVM lacks ${missing.map((name) => `KVM_CAP_${name}`).join(', ')}`);
  }
  must(sys.ioctl(fd, ioctl.CREATE_IRQCHIP, 0), 'KVM_CREATE_IRQCHIP');
  const pit = new DataView(new ArrayBuffer(layout.kvm_pit_config.size));
  pit.setUint32(layout.kvm_pit_config.flags, value.KVM_PIT_SPEAKER_DUMMY, true); // with port 61H
  must(sys.ioctlAt(fd, ioctl.CREATE_PIT2, new Uint8Array(pit.buffer)), 'KVM_CREATE_PIT2');
}

function setMemory(sys: Ffi, fd: number, at: bigint, size: number): void {
  const region = layout.kvm_userspace_memory_region;
  const view = new DataView(new ArrayBuffer(region.size));
  view.setBigUint64(region.memory_size, BigInt(size), true);
  view.setBigUint64(region.userspace_addr, at, true);
  must(
    sys.ioctlAt(fd, ioctl.SET_USER_MEMORY_REGION, new Uint8Array(view.buffer)),
    'KVM_SET_USER_MEMORY_REGION',
  );
}

/** The level of an interrupt line of the machine. */
export function setInterrupt(sys: Ffi, vm: number, irq: number, level: boolean): void {
  const line = new Uint32Array([irq, level ? 1 : 0]);
  must(sys.ioctlAt(vm, ioctl.IRQ_LINE, new Uint8Array(line.buffer)), 'KVM_IRQ_LINE');
}
