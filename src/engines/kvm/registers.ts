/** A vCPU's registers: at an image's entry, and as text for messages. */
import type { Loaded } from '../../boot/index.ts';
import type { Ffi } from '../ffi.ts';
import { check } from '../ffi.ts';
import { ioctl, layout, value } from './abi.ts';

const regs = layout.kvm_regs;
const sregs = layout.kvm_sregs;
const segment = layout.kvm_segment;

const CR0_PE = 1 << 0; // protected mode
const CR0_ET = 1 << 4; // always one
const CODE = 0xb; // segment type: execute and read, accessed (SDM volume 3, table 3-1)
const DATA = 0x3; // read and write, accessed

/** Puts a vCPU at an image's entry: flat 32-bit protected mode, paging and interrupts off. `edi` is the vCPU's number. */
export function enter(sys: Ffi, fd: number, { entry, registers, gdt }: Loaded, edi: number): void {
  const special = new DataView(new ArrayBuffer(sregs.size));
  const bytes = new Uint8Array(special.buffer);
  check(sys.ioctlAt(fd, ioctl.GET_SREGS, bytes), 'KVM_GET_SREGS');
  putSegment(special, sregs.cs, gdt.code, CODE);
  for (const at of [sregs.ds, sregs.es, sregs.fs, sregs.gs, sregs.ss])
    putSegment(special, at, gdt.data, DATA);
  special.setBigUint64(sregs.gdt + layout.kvm_dtable.base, BigInt(gdt.address), true);
  special.setUint16(sregs.gdt + layout.kvm_dtable.limit, gdt.limit, true);
  special.setBigUint64(sregs.cr0, BigInt(CR0_PE | CR0_ET), true);
  check(sys.ioctlAt(fd, ioctl.SET_SREGS, bytes), 'KVM_SET_SREGS');

  const general = new DataView(new ArrayBuffer(regs.size));
  const put = (at: number, value: number): void => general.setBigUint64(at, BigInt(value >>> 0), true);
  put(regs.rax, registers.eax);
  put(regs.rbx, registers.ebx);
  put(regs.rsi, registers.esi);
  put(regs.rdi, edi);
  put(regs.rip, entry);
  put(regs.rflags, 2); // bit 1 is always one
  check(sys.ioctlAt(fd, ioctl.SET_REGS, new Uint8Array(general.buffer)), 'KVM_SET_REGS');
}

function putSegment(view: DataView, at: number, selector: number, type: number): void {
  view.setBigUint64(at + segment.base, 0n, true);
  view.setUint32(at + segment.limit, 0xffff_ffff, true);
  view.setUint16(at + segment.selector, selector, true);
  view.setUint8(at + segment.type, type);
  for (const one of [segment.present, segment.db, segment.s, segment.g]) view.setUint8(at + one, 1);
  for (const zero of [segment.dpl, segment.l, segment.avl, segment.unusable]) view.setUint8(at + zero, 0);
}

/** The registers that help to find a fault, on one line; empty where the kernel does not tell them. */
export function registersText(sys: Ffi, fd: number): string {
  const general = new DataView(new ArrayBuffer(regs.size));
  const special = new DataView(new ArrayBuffer(sregs.size));
  if (sys.ioctlAt(fd, ioctl.GET_REGS, new Uint8Array(general.buffer)) < 0) return '';
  if (sys.ioctlAt(fd, ioctl.GET_SREGS, new Uint8Array(special.buffer)) < 0) return '';
  const of = (view: DataView, name: string, at: number): string =>
    `${name}=0x${view.getBigUint64(at, true).toString(16)}`;
  return [
    ...(['rip', 'rsp', 'rflags', 'rax', 'rbx', 'rcx', 'rdx'] as const).map((name) =>
      of(general, name, regs[name]),
    ),
    ...(['cr0', 'cr2', 'cr3', 'cr4', 'efer'] as const).map((name) => of(special, name, sregs[name])),
    `cs=0x${special.getUint16(sregs.cs + segment.selector, true).toString(16)}`,
  ].join(' ');
}

/** Whether a vCPU cannot go on by itself: in HLT with interrupts off, or not yet started by another one. */
export function isIdle(sys: Ffi, fd: number): boolean {
  const state = new Uint8Array(layout.kvm_mp_state.size);
  if (sys.ioctlAt(fd, ioctl.GET_MP_STATE, state) < 0) return false;
  if (state[0] === value.KVM_MP_STATE_UNINITIALIZED) return true;
  if (state[0] !== value.KVM_MP_STATE_HALTED) return false;
  const general = new DataView(new ArrayBuffer(regs.size));
  if (sys.ioctlAt(fd, ioctl.GET_REGS, new Uint8Array(general.buffer)) < 0) return false;
  const INTERRUPTS = 1n << 9n; // RFLAGS.IF
  return (general.getBigUint64(regs.rflags, true) & INTERRUPTS) === 0n;
}
