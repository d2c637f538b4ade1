/** A vCPU's state, read from the kernel and set again: each part the bytes of one of the kernel's structs. */
import { hex, MachineError } from '../../cpu.ts';
import type { Ffi } from '../ffi.ts';
import { check, errorName } from '../ffi.ts';
import { ioctl, layout } from './abi.ts';
import { leaveNested, readNested, writeNested } from './nested-state.ts';
import type { Capability, System } from './system.ts';

/**
 * The parts by name; `msrs` is an array of struct kvm_msr_entry, `nested` a struct kvm_nested_state with its data. Which of
 * them are there depends on the machine.
 */
export type VcpuState = Readonly<Partial<Record<PartName | 'nested', Uint8Array>>>;

export type PartName =
  | 'mpState'
  | 'regs'
  | 'sregs2'
  | 'nested'
  | 'xsave'
  | 'xcrs'
  | 'debugregs'
  | 'lapic'
  | 'msrs'
  | 'events';

interface Part {
  readonly name: PartName;
  readonly capability: Capability;
  readonly get: number;
  readonly set: number;
  readonly size: number;
}

/**
 * In the order in which they are read and set. KVM_GET_MP_STATE may change a local APIC, so it comes first; MSRs need
 * the local APIC (its deadline timer); pending events come last, because setting other registers clears them.
 */
const BEFORE_MSRS: readonly Part[] = [
  part('mpState', 'MP_STATE', 'MP_STATE', layout.kvm_mp_state.size),
  part('sregs2', 'SREGS2', 'SREGS2', layout.kvm_sregs2.size),
  part('regs', 'USER_MEMORY', 'REGS', layout.kvm_regs.size),
  part('xsave', 'XSAVE', 'XSAVE', layout.kvm_xsave.size),
  part('xcrs', 'XCRS', 'XCRS', layout.kvm_xcrs.size),
  part('debugregs', 'DEBUGREGS', 'DEBUGREGS', layout.kvm_debugregs.size),
  part('lapic', 'IRQCHIP', 'LAPIC', layout.kvm_lapic_state.size),
];
const EVENTS = part('events', 'VCPU_EVENTS', 'VCPU_EVENTS', layout.kvm_vcpu_events.size);

/** Capabilities without which a machine cannot be saved. */
export const REQUIRED_TO_SAVE: readonly Capability[] = [
  ...[...BEFORE_MSRS, EVENTS].filter(({ name }) => name !== 'xcrs').map(({ capability }) => capability),
  'ADJUST_CLOCK',
  'PIT_STATE2',
  'GET_TSC_KHZ',
];

/** Sizes in bytes, for a check of saved states; `xsave` may be longer, `msrs` is a multiple, `xcrs` may be absent. */
export const PART_SIZES: Readonly<Record<Exclude<PartName, 'msrs'>, number>> = Object.fromEntries(
  [...BEFORE_MSRS, EVENTS].map(({ name, size }) => [name, size]),
) as Record<Exclude<PartName, 'msrs'>, number>;

function part<Name extends string>(
  name: PartName,
  capability: Capability,
  request: Name & (`GET_${Name}` extends keyof typeof ioctl ? Name : never),
  size: number,
): Part {
  const get = ioctl[`GET_${request}` as keyof typeof ioctl];
  const set = ioctl[`SET_${request}` as keyof typeof ioctl];
  return { name, capability, get, set, size };
}

/** Reads all of a vCPU's state. No thread may be in it. `interrupts`: the machine has local APICs. */
export function readVcpu(system: System, vm: number, vcpu: number, interrupts: boolean): VcpuState {
  const { sys } = system;
  const state: Partial<Record<PartName | 'nested', Uint8Array>> = {};
  for (const { name, get, size } of partsOf(system, interrupts)) {
    // The area of a processor with large extended state does not fit the old struct.
    const large = name === 'xsave' ? sys.ioctl(vm, ioctl.CHECK_EXTENSION, XSAVE2) : 0;
    const bytes = new Uint8Array(Math.max(size, large));
    const request = large > size ? ioctl.GET_XSAVE2 : get;
    check(sys.ioctlAt(vcpu, request, bytes), `reading a vCPU's ${name}`);
    state[name] = bytes;
  }
  state.msrs = readMsrs(sys, vcpu, msrIndices(system));
  const nested = readNested(system, vcpu);
  if (nested !== undefined) state.nested = nested;
  return state;
}

/** Sets all of a vCPU's state. Its CPUID table has to be installed. */
export function writeVcpu(system: System, vcpu: number, state: VcpuState, interrupts: boolean): void {
  const { sys } = system;
  const parts = partsOf(system, interrupts);
  if (state.xcrs !== undefined && parts.every(({ name }) => name !== 'xcrs')) {
    throw new MachineError('state: its guest had XSAVE, which this KVM lacks', { code: 'refused' });
  }
  if (state.nested !== undefined) {
    leaveNested(system, vcpu, state.nested);
    // Without it VMX cannot be on.
    writeMsrs(sys, vcpu, entriesOf(state.msrs!, FEATURE_CONTROL));
  }
  for (const { name, set } of parts.filter((each) => state[each.name] !== undefined)) {
    if (name === 'events') writeMsrs(sys, vcpu, state.msrs!);
    check(sys.ioctlAt(vcpu, set, state[name]!), `setting a vCPU's ${name}`);
    // EFER.SVME and CR4.VMXE are set now; the other registers are those of the nested guest, where there is one.
    if (name === 'sregs2' && state.nested !== undefined) writeNested(system, vcpu, state.nested);
  }
}

const XSAVE2 = 208; // KVM_CAP_XSAVE2: the size of the area

/** A processor without XSAVE has no extended control registers. */
const partsOf = (system: System, interrupts: boolean): readonly Part[] => [
  ...BEFORE_MSRS.filter(({ name }) => interrupts || name !== 'lapic').filter(
    ({ name }) => name !== 'xcrs' || system.has('XCRS') > 0,
  ),
  EVENTS,
];

const FEATURE_CONTROL = 0x3a;
const TSC_DEADLINE = 0x6e0;
/** The kernel takes at most 256 at once. */
const MSR_CHUNK = 128;
const MAX_INDICES = 1024;
const entry = layout.kvm_msr_entry;

/** The MSRs that the kernel saves. The deadline timer comes last: it is relative to the time-stamp counter. */
function msrIndices({ sys, fd }: System): readonly number[] {
  const list = new DataView(new ArrayBuffer(layout.kvm_msr_list.size + 4 * MAX_INDICES));
  list.setUint32(layout.kvm_msr_list.nmsrs, MAX_INDICES, true);
  check(sys.ioctlAt(fd, ioctl.GET_MSR_INDEX_LIST, new Uint8Array(list.buffer)), 'KVM_GET_MSR_INDEX_LIST');
  const count = list.getUint32(layout.kvm_msr_list.nmsrs, true);
  const indices = Array.from({ length: count }, (_, i) =>
    list.getUint32(layout.kvm_msr_list.indices + 4 * i, true),
  );
  const last = (index: number): number => (index === TSC_DEADLINE ? 1 : 0);
  return indices.sort((a, b) => last(a) - last(b));
}

/** Reads the MSRs that this vCPU has; the kernel stops at the first that it has not, which is left out. */
function readMsrs(sys: Ffi, vcpu: number, indices: readonly number[]): Uint8Array {
  const found: Uint8Array[] = [];
  for (let at = 0; at < indices.length; ) {
    const asked = indices.slice(at, at + MSR_CHUNK);
    const entries = new DataView(new ArrayBuffer(asked.length * entry.size));
    asked.forEach((index, i) => {
      entries.setUint32(i * entry.size + entry.index, index, true);
    });
    const { count, bytes } = transfer(sys, vcpu, ioctl.GET_MSRS, new Uint8Array(entries.buffer));
    found.push(bytes.subarray(0, count * entry.size));
    at += count < asked.length ? count + 1 : count;
  }
  return Uint8Array.from(Buffer.concat(found));
}

/** The entries of one MSR. */
function entriesOf(entries: Uint8Array, msr: number): Uint8Array {
  const view = new DataView(entries.buffer, entries.byteOffset, entries.length);
  for (let at = 0; at < entries.length; at += entry.size) {
    if (view.getUint32(at + entry.index, true) === msr) return entries.subarray(at, at + entry.size);
  }
  return new Uint8Array();
}

/** Sets MSRs. One that the kernel refuses is an error unless it has the value already. */
function writeMsrs(sys: Ffi, vcpu: number, entries: Uint8Array): void {
  for (let at = 0; at < entries.length; ) {
    const chunk = entries.subarray(at, at + MSR_CHUNK * entry.size);
    const { count } = transfer(sys, vcpu, ioctl.SET_MSRS, chunk);
    at += count * entry.size;
    if (count * entry.size === chunk.length) continue;
    checkMsr(sys, vcpu, entries.slice(at, at + entry.size));
    at += entry.size;
  }
}

function checkMsr(sys: Ffi, vcpu: number, refused: Uint8Array): void {
  const view = new DataView(refused.buffer);
  const index = view.getUint32(entry.index, true);
  const now = readMsrs(sys, vcpu, [index]);
  const value = view.getBigUint64(entry.data, true);
  if (now.length > 0 && new DataView(now.buffer).getBigUint64(entry.data, true) === value) return;
  throw new MachineError(`this KVM refuses the saved value ${hex(value)} of MSR ${hex(index)}`, {
    code: 'refused',
  });
}

function transfer(sys: Ffi, vcpu: number, request: number, entries: Uint8Array) {
  const bytes = new Uint8Array(layout.kvm_msrs.size + entries.length);
  new DataView(bytes.buffer).setUint32(layout.kvm_msrs.nmsrs, entries.length / entry.size, true);
  bytes.set(entries, layout.kvm_msrs.size);
  const count = sys.ioctlAt(vcpu, request, bytes);
  if (count < 0) throw new MachineError(`MSRs of a vCPU: ${errorName(-count)}`);
  return { count, bytes: bytes.subarray(layout.kvm_msrs.size) };
}

/** The frequency of a vCPU's time-stamp counter, in kHz. */
export function tscKhz(sys: Ffi, vcpu: number): number {
  return check(sys.ioctl(vcpu, ioctl.GET_TSC_KHZ, 0), 'KVM_GET_TSC_KHZ');
}

/** Sets that frequency; a `MachineError` where this processor has another one and cannot scale it. */
export function setTscKhz(sys: Ffi, vcpu: number, khz: number): void {
  const here = tscKhz(sys, vcpu);
  // KVM's own tolerance: 250 parts per million (arch/x86/kvm/x86.c, tsc_tolerance_ppm).
  if (Math.abs(here - khz) <= (here * 250) / 1e6) return;
  if (sys.ioctl(vcpu, ioctl.SET_TSC_KHZ, khz) >= 0) return;
  throw new MachineError(
    `state: saved where the time-stamp counter runs at ${khz} kHz; here it runs at ${here} and cannot be scaled`,
    { code: 'refused' },
  );
}
