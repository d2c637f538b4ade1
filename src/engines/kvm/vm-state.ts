/** The state of a virtual machine's devices in the kernel: interrupt controllers, timer, clock. */
import { check } from '../ffi.ts';
import { ioctl, layout } from './abi.ts';
import type { System } from './system.ts';

export interface VmState {
  /** Two 8259s and the I/O APIC: struct kvm_irqchip each; empty for a machine without interrupts. */
  readonly irqchips: readonly Uint8Array[];
  /** struct kvm_pit_state2; only with interrupts. */
  readonly pit?: Uint8Array | undefined;
  /** struct kvm_clock_data: the clock of KVM's guests. */
  readonly clock: Uint8Array;
}

export const IRQCHIPS = 3;

export function readVm({ sys }: System, vm: number, interrupts: boolean): VmState {
  const read = (request: number, bytes: Uint8Array, name: string): Uint8Array => {
    check(sys.ioctlAt(vm, request, bytes), `reading the ${name}`);
    return bytes;
  };
  const irqchips = Array.from({ length: interrupts ? IRQCHIPS : 0 }, (_, id) => {
    const chip = new Uint8Array(layout.kvm_irqchip.size);
    new DataView(chip.buffer).setUint32(layout.kvm_irqchip.chip_id, id, true);
    return read(ioctl.GET_IRQCHIP, chip, 'interrupt controllers');
  });
  const pit = interrupts
    ? read(ioctl.GET_PIT2, new Uint8Array(layout.kvm_pit_state2.size), 'timer')
    : undefined;
  const clock = read(ioctl.GET_CLOCK, new Uint8Array(layout.kvm_clock_data.size), 'clock');
  return { irqchips, pit, clock };
}

/** To be called before the vCPUs' state is set. */
export function writeIrqchips({ sys }: System, vm: number, { irqchips }: VmState): void {
  for (const chip of irqchips)
    check(sys.ioctlAt(vm, ioctl.SET_IRQCHIP, chip.slice()), 'setting the interrupt controllers');
}

/** To be called afterwards: both start to count. */
export function writeTimers({ sys }: System, vm: number, { pit, clock }: VmState): void {
  if (pit !== undefined) check(sys.ioctlAt(vm, ioctl.SET_PIT2, pit.slice()), 'setting the timer');
  const { size, clock: at, flags } = layout.kvm_clock_data;
  const set = new Uint8Array(size);
  set.set(clock.subarray(at, flags), at); // the time alone: flags and host times were for reading
  check(sys.ioctlAt(vm, ioctl.SET_CLOCK, set), 'setting the clock');
}
