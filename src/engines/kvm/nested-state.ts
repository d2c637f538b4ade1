/** The state of a vCPU whose guest is a hypervisor itself: struct kvm_nested_state (kernel documentation, virt/kvm/api.rst). */
import { MachineError } from '../../cpu.ts';
import { check } from '../ffi.ts';
import { ioctl, layout, value } from './abi.ts';
import type { System } from './system.ts';

const nested = layout.kvm_nested_state;
/** The field `size`: header and data, in bytes. */
const SIZE = 4;
/** Two control structures of one page each. */
const MAX_DATA = 8192;
const NOWHERE = 0xffff_ffff_ffff_ffffn;

/** Reads it; `undefined` where this KVM has no nested guests. */
export function readNested(system: System, vcpu: number): Uint8Array | undefined {
  const most = system.has('NESTED_STATE');
  if (most <= 0) return undefined;
  const bytes = new Uint8Array(most);
  const view = new DataView(bytes.buffer);
  view.setUint32(SIZE, most, true);
  check(system.sys.ioctlAt(vcpu, ioctl.GET_NESTED_STATE, bytes), "reading a vCPU's nested state");
  return bytes.slice(0, view.getUint32(SIZE, true));
}

/** Takes the vCPU out of a nested guest: the registers that are set next are its own. */
export function leaveNested(system: System, vcpu: number, saved: Uint8Array): void {
  if (system.has('NESTED_STATE') <= 0) {
    const flags = new DataView(saved.buffer, saved.byteOffset).getUint16(nested.flags, true);
    if (saved.length === nested.size && (flags & value.KVM_STATE_NESTED_GUEST_MODE) === 0) return;
    throw new MachineError('state: its guest ran a guest of its own, which this KVM cannot restore', {
      code: 'refused',
    });
  }
  const { format } = formatOf(saved);
  const view = new DataView(new ArrayBuffer(nested.size));
  view.setUint16(nested.format, format, true);
  view.setUint32(SIZE, nested.size, true);
  if (format === value.KVM_STATE_NESTED_FORMAT_SVM) {
    view.setUint16(nested.flags, value.KVM_STATE_NESTED_GIF_SET, true);
  } else {
    view.setBigUint64(nested['hdr.vmx.vmxon_pa'], NOWHERE, true);
    view.setBigUint64(nested['hdr.vmx.vmcs12_pa'], NOWHERE, true);
  }
  writeNested(system, vcpu, new Uint8Array(view.buffer));
}

/** Sets it. SREGS have to be set. */
export function writeNested(system: System, vcpu: number, state: Uint8Array): void {
  if (system.has('NESTED_STATE') <= 0) return;
  check(system.sys.ioctlAt(vcpu, ioctl.SET_NESTED_STATE, state.slice()), "setting a vCPU's nested state");
}

/** Whether bytes of a saved state have the form; their content is the kernel's to check. */
export function isNested(bytes: unknown): bytes is Uint8Array {
  if (!(bytes instanceof Uint8Array) || bytes.length < nested.size) return false;
  return bytes.length <= nested.size + MAX_DATA && formatOf(bytes).size === bytes.length;
}

function formatOf(bytes: Uint8Array): { readonly format: number; readonly size: number } {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  return { format: view.getUint16(nested.format, true), size: view.getUint32(SIZE, true) };
}
