/** A virtual machine and its vCPUs: made, entered at an image's entry, freed (kernel documentation, virt/kvm/api.rst). */
import type { Loaded, Segment } from '../../boot/index.ts';
import type { Ffi } from '../ffi.ts';
import { check, MAP, PROT } from '../ffi.ts';
import { cap, ioctl, layout, value } from './abi.ts';
import { type FileImage, GuestMemory } from './memory.ts';
import { mpTable } from './mp-table.ts';
import { enter } from './registers.ts';
import type { System } from './system.ts';
import type { VcpuHandle } from './vcpu.ts';
import { REQUIRED_TO_SAVE, readVcpu, setTscKhz, tscKhz, type VcpuState, writeVcpu } from './vcpu-state.ts';
import { readVm, type VmState, writeIrqchips, writeTimers } from './vm-state.ts';

export interface VmOptions {
  /** Bytes. */
  readonly memory: number;
  readonly vcpus: number;
  /** With interrupt controllers and a timer, all in the kernel. */
  readonly interrupts: boolean;
  /** MSRs whose accesses exit although the kernel has them. */
  readonly msrs: readonly number[];
  /** With ACPI tables and a VM generation device. */
  readonly vmgenid: boolean;
}

// Three pages and one that KVM keeps for itself on Intel processors, where there is nothing else: below 4 GiB, above all
// memory and devices of this engine.
const TSS_ADDRESS = 0xfffb_d000;
const IDENTITY_MAP_ADDRESS = 0xfffb_c000n;

export class Vm {
  readonly fd: number;
  readonly memory: GuestMemory;
  readonly vcpus: readonly VcpuHandle[];
  readonly options: VmOptions;
  readonly system: System;
  readonly #undo: (() => void)[] = [];

  /**
   * Makes a virtual machine with empty memory or a saved one's, and takes `system` over: it is closed with the machine,
   * or when something fails here.
   */
  constructor(system: System, options: VmOptions, image?: FileImage) {
    const { sys } = system;
    this.system = system;
    this.options = options;
    this.#undo.push(() => system.close());
    try {
      this.fd = check(sys.ioctl(system.fd, ioctl.CREATE_VM, 0), 'KVM_CREATE_VM');
      this.#undo.push(() => sys.close(this.fd));
      enableMsrExits(sys, this.fd);
      if (options.msrs.length > 0) filterMsrs(system, this.fd, options.msrs);
      reserveAddresses(system, this.fd);
      if (options.interrupts) addInterrupts(system, this.fd);
      this.memory = new GuestMemory(sys, options.memory, image);
      this.#undo.push(() => this.memory.free());
      setMemory(sys, this.fd, this.memory);
      const runSize = check(sys.ioctl(system.fd, ioctl.GET_VCPU_MMAP_SIZE, 0), 'KVM_GET_VCPU_MMAP_SIZE');
      this.vcpus = Array.from({ length: options.vcpus }, (_, id) => this.#createVcpu(id, runSize));
    } catch (error) {
      this.free();
      throw error;
    }
  }

  /** Puts an image and the engine's tables into the memory, and the vCPUs at its entry. */
  enterImage(loaded: Loaded, tables: readonly Segment[]): void {
    const { interrupts, vcpus } = this.options;
    const mp = interrupts && vcpus > 1 ? [mpTable(vcpus)] : [];
    for (const { address, bytes } of [...loaded.segments, ...tables, ...mp]) this.memory.load(address, bytes);
    this.vcpus.forEach(({ fd }, id) => {
      // With interrupt controllers a second processor waits until the first one starts it, as on a PC.
      if (id === 0 || !interrupts) enter(this.system.sys, fd, loaded, id);
    });
  }

  /** Reads the state of vCPUs and devices. No thread may be in a vCPU. */
  readState(): { readonly vcpus: readonly VcpuState[]; readonly vm: VmState; readonly tscKhz: number } {
    const { system, fd } = this;
    const { interrupts } = this.options;
    system.require(REQUIRED_TO_SAVE);
    const vcpus = this.vcpus.map((vcpu) => readVcpu(system, fd, vcpu.fd, interrupts));
    return { vcpus, vm: readVm(system, fd, interrupts), tscKhz: tscKhz(system.sys, this.vcpus[0]!.fd) };
  }

  /** Sets it. The CPUID tables have to be installed. */
  writeState({ vcpus, vm, tscKhz: khz }: ReturnType<Vm['readState']>): void {
    const { system, fd } = this;
    system.require(REQUIRED_TO_SAVE);
    for (const vcpu of this.vcpus) setTscKhz(system.sys, vcpu.fd, khz);
    writeIrqchips(system, fd, vm);
    this.vcpus.forEach((vcpu, id) => {
      writeVcpu(system, vcpu.fd, vcpus[id]!, this.options.interrupts);
    });
    writeTimers(system, fd, vm);
  }

  /** Frees everything; no thread may be in a vCPU or use a view of its page any more. */
  free(): void {
    for (const step of this.#undo.splice(0).reverse()) step();
  }

  #createVcpu(id: number, runSize: number): VcpuHandle {
    const { sys } = this.system;
    const fd = check(sys.ioctl(this.fd, ioctl.CREATE_VCPU, id), `KVM_CREATE_VCPU ${id}`);
    this.#undo.push(() => sys.close(fd));
    const run = sys.mmap(runSize, PROT.read | PROT.write, MAP.shared, fd);
    this.#undo.push(() => sys.munmap(run, runSize));
    return { fd, run, runSize };
  }
}

/** Takes single MSRs away from the kernel: those that its filter denies exit. */
function filterMsrs(system: System, fd: number, msrs: readonly number[]): void {
  system.require(['X86_MSR_FILTER']);
  const { sys } = system;
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
  check(result, 'KVM_X86_SET_MSR_FILTER');
}

/** Accesses to MSRs that the kernel does not know, or refuses, exit instead of raising #GP. */
function enableMsrExits(sys: Ffi, fd: number): void {
  const enable = new DataView(new ArrayBuffer(layout.kvm_enable_cap.size));
  enable.setUint32(layout.kvm_enable_cap.cap, cap.X86_USER_SPACE_MSR, true);
  const reasons =
    value.KVM_MSR_EXIT_REASON_INVAL | value.KVM_MSR_EXIT_REASON_UNKNOWN | value.KVM_MSR_EXIT_REASON_FILTER;
  enable.setBigUint64(layout.kvm_enable_cap.args, BigInt(reasons), true);
  check(sys.ioctlAt(fd, ioctl.ENABLE_CAP, new Uint8Array(enable.buffer)), 'KVM_CAP_X86_USER_SPACE_MSR');
}

function reserveAddresses(system: System, fd: number): void {
  const { sys } = system;
  if (system.has('SET_TSS_ADDR') > 0) {
    check(sys.ioctl(fd, ioctl.SET_TSS_ADDR, TSS_ADDRESS), 'KVM_SET_TSS_ADDR');
  }
  if (system.has('SET_IDENTITY_MAP_ADDR') <= 0) return;
  const identity = new Uint8Array(new BigUint64Array([IDENTITY_MAP_ADDRESS]).buffer);
  check(sys.ioctlAt(fd, ioctl.SET_IDENTITY_MAP_ADDR, identity), 'KVM_SET_IDENTITY_MAP_ADDR');
}

function addInterrupts(system: System, fd: number): void {
  system.require(['IRQCHIP', 'PIT2']);
  const { sys } = system;
  check(sys.ioctl(fd, ioctl.CREATE_IRQCHIP, 0), 'KVM_CREATE_IRQCHIP');
  const pit = new DataView(new ArrayBuffer(layout.kvm_pit_config.size));
  pit.setUint32(layout.kvm_pit_config.flags, value.KVM_PIT_SPEAKER_DUMMY, true); // with port 61H
  check(sys.ioctlAt(fd, ioctl.CREATE_PIT2, new Uint8Array(pit.buffer)), 'KVM_CREATE_PIT2');
}

function setMemory(sys: Ffi, fd: number, { address, size }: GuestMemory): void {
  const region = layout.kvm_userspace_memory_region;
  const view = new DataView(new ArrayBuffer(region.size));
  view.setBigUint64(region.memory_size, BigInt(size), true);
  view.setBigUint64(region.userspace_addr, address, true);
  check(
    sys.ioctlAt(fd, ioctl.SET_USER_MEMORY_REGION, new Uint8Array(view.buffer)),
    'KVM_SET_USER_MEMORY_REGION',
  );
}

/** Sets the level of an interrupt line of the machine. */
export function setInterrupt(sys: Ffi, vm: number, irq: number, level: boolean): void {
  const line = new Uint32Array([irq, level ? 1 : 0]);
  check(sys.ioctlAt(vm, ioctl.IRQ_LINE, new Uint8Array(line.buffer)), 'KVM_IRQ_LINE');
}
