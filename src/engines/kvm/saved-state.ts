/**
 * The form of a saved machine. A header (magic, sizes, checksum), a description as JSON, then the memory: in a file whole
 * and sparse, on a page boundary, so that it can be mapped; in bytes as runs of pages that are not zero. A state is input
 * from outside: every size is checked against a bound and against the length, before anything is made of it.
 */
import { createHash } from 'node:crypto';
import { MAX_MEMORY, MIN_MEMORY } from '../../boot/index.ts';
import type { SavedLayer } from '../../cpu.ts';
import type { CpuidDump, Row } from '../../cpuid-dump.ts';
import { layout } from './abi.ts';
import { MAX_INPUT, type SavedSerial } from './console.ts';
import { isNested } from './nested-state.ts';
import { DEVICE_STATE } from './ports.ts';
import { PART_SIZES, type VcpuState } from './vcpu-state.ts';
import { ACPI_STATE } from './vm-generation.ts';
import { IRQCHIPS, type VmState } from './vm-state.ts';

const MAGIC = new TextEncoder().encode('commonhv kvm 2\n\0'); // 16 bytes
const PAGE = 4096;
/** Magic; u32 description length, u32 number of runs; u64 memory size; SHA-256 of all before it, description and runs. */
const HEADER = 64;
const LENGTH = 16;
const RUNS = 20;
const MEMORY = 24;
const DIGEST = 32;
/** In place of a number of runs: the memory is whole. */
const WHOLE = 0xffff_ffff;
const RUN = 8; // u32 first page, u32 number of pages
const MAX_DESCRIPTION = 4 * 2 ** 20;
const MAX_VCPUS = 16;
const MAX_MSR_BYTES = 1024 * layout.kvm_msr_entry.size;
const MAX_XSAVE = 64 * 1024;
const MAX_ROWS = 256;

/** All of a saved machine but its memory. */
export interface Description {
  readonly vcpus: readonly VcpuState[];
  /** The vCPUs that have ended. */
  readonly ended: readonly number[];
  readonly interrupts: boolean;
  readonly msrs: readonly number[];
  readonly tscKhz: number;
  readonly vm: VmState;
  readonly serials: readonly SavedSerial[];
  /** The leaves that its guest saw. */
  readonly table: CpuidDump;
  /** The layer's own state, as it gave it; absent where it has none. */
  readonly layer?: SavedLayer | undefined;
  /** `ACPI_STATE` bytes: the registers of the VM generation device; absent where there is none. */
  readonly vmgenid?: Uint8Array | undefined;
}

/** A run of pages: guest-physical address and content. */
export interface MemoryRun {
  readonly address: number;
  readonly bytes: Uint8Array;
}

export interface ParsedState {
  readonly description: Description;
  /** Bytes. */
  readonly memory: number;
  /** Where the whole memory begins; `undefined` where it is in runs. */
  readonly wholeAt: number | undefined;
  /** The runs; each one's bytes are at `at` of the state. */
  readonly runs: readonly { readonly address: number; readonly length: number; readonly at: number }[];
}

/** The beginning of a file with whole memory, up to the memory. */
export function encodeHead(description: Description, memory: number): Uint8Array {
  const text = encodeDescription(description);
  const head = new Uint8Array(roundUp(HEADER + text.length));
  head.set(text, HEADER);
  seal(head, text.length, WHOLE, memory, HEADER + text.length);
  return head;
}

/** A whole state as bytes. */
export function encodePacked(
  description: Description,
  memory: number,
  runs: readonly MemoryRun[],
): Uint8Array {
  const text = encodeDescription(description);
  const table = HEADER + text.length;
  const start = table + runs.length * RUN;
  const state = new Uint8Array(runs.reduce((end, { bytes }) => end + bytes.length, start));
  const view = new DataView(state.buffer);
  state.set(text, HEADER);
  let at = start;
  runs.forEach(({ address, bytes }, i) => {
    view.setUint32(table + i * RUN, address / PAGE, true);
    view.setUint32(table + i * RUN + 4, bytes.length / PAGE, true);
    state.set(bytes, at);
    at += bytes.length;
  });
  seal(state, text.length, runs.length, memory, start);
  return state;
}

function seal(head: Uint8Array, length: number, runs: number, memory: number, end: number): void {
  const view = new DataView(head.buffer);
  head.set(MAGIC);
  view.setUint32(LENGTH, length, true);
  view.setUint32(RUNS, runs, true);
  view.setBigUint64(MEMORY, BigInt(memory), true);
  head.set(digest(head, end), DIGEST);
}

const digest = (head: Uint8Array, end: number): Uint8Array =>
  createHash('sha256').update(head.subarray(0, DIGEST)).update(head.subarray(HEADER, end)).digest();

const roundUp = (size: number): number => Math.ceil(size / PAGE) * PAGE;

/**
 * Reads a state of `size` bytes. `read` returns bytes of it, as many as there are from `at`. Throws a TypeError, in one
 * line, for anything but a complete state of this version.
 */
export function parseState(size: number, read: (at: number, length: number) => Uint8Array): ParsedState {
  const header = read(0, HEADER);
  if (header.length < HEADER || !MAGIC.every((byte, i) => header[i] === byte)) {
    throw new TypeError('state: not a machine that was saved by this version of the KVM engine');
  }
  const view = new DataView(header.buffer, header.byteOffset);
  const length = view.getUint32(LENGTH, true);
  const runCount = view.getUint32(RUNS, true);
  const memory = Number(view.getBigUint64(MEMORY, true));
  const whole = runCount === WHOLE;
  const end = HEADER + length + (whole ? 0 : runCount * RUN);
  if (length > MAX_DESCRIPTION || (!whole && runCount > MAX_MEMORY / PAGE))
    throw broken('sizes out of range');
  if (memory < MIN_MEMORY || memory > MAX_MEMORY || memory % PAGE !== 0) throw broken('memory size');
  if (end > size) throw truncated(size);
  const head = read(0, end);
  if (head.length < end) throw truncated(size);
  if (!equal(digest(head, end), head.subarray(DIGEST, HEADER))) throw broken('checksum');
  const runs = whole ? [] : readRuns(head, HEADER + length, runCount, memory);
  const wholeAt = whole ? roundUp(end) : undefined;
  const expected = wholeAt === undefined ? runs.reduce((at, run) => at + run.length, end) : wholeAt + memory;
  if (size !== expected) throw truncated(size);
  const description = decodeDescription(head.subarray(HEADER, HEADER + length));
  return { description, memory, wholeAt, runs };
}

function readRuns(head: Uint8Array, table: number, count: number, memory: number): ParsedState['runs'] {
  const view = new DataView(head.buffer, head.byteOffset, head.byteLength);
  let at = table + count * RUN;
  let free = 0; // the first page after the last run
  return Array.from({ length: count }, (_, i) => {
    const page = view.getUint32(table + i * RUN, true);
    const pages = view.getUint32(table + i * RUN + 4, true);
    if (page < free || pages === 0 || (page + pages) * PAGE > memory) throw broken('pages out of order');
    free = page + pages;
    const run = { address: page * PAGE, length: pages * PAGE, at };
    at += run.length;
    return run;
  });
}

const broken = (cause: string): TypeError => new TypeError(`state: broken: ${cause}`);
const truncated = (size: number): TypeError =>
  new TypeError(`state: truncated or broken: it has ${size} bytes`);
const equal = (a: Uint8Array, b: Uint8Array): boolean => a.every((byte, i) => byte === b[i]);

/** JSON has no bytes. */
function encodeDescription(description: Description): Uint8Array {
  const text = JSON.stringify(description, (_, value: unknown) => {
    if (value instanceof Uint8Array) return { $bytes: Buffer.from(value).toString('base64') };
    return value;
  });
  return new TextEncoder().encode(text);
}

function decodeDescription(bytes: Uint8Array): Description {
  let value: Description;
  try {
    value = revived(JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))) as Description;
  } catch (cause) {
    throw new TypeError('state: broken: its description is no JSON', { cause });
  }
  checkDescription(value);
  return value;
}

/** The bytes in a parsed description, in place. A reviver of JSON.parse would be called for every number of every leaf. */
function revived(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value;
  const { $bytes } = value as { $bytes?: unknown };
  if (typeof $bytes === 'string') return Uint8Array.from(Buffer.from($bytes, 'base64'));
  const parts = value as Record<string, unknown>;
  for (const name of Object.keys(parts)) {
    if (typeof parts[name] === 'object') parts[name] = revived(parts[name]);
  }
  return value;
}

function checkDescription(value: Description): void {
  const { vcpus, ended, interrupts, msrs, tscKhz, vm, serials, table, vmgenid } = Object(
    value,
  ) as Description;
  const is = (condition: boolean, part: string): void => {
    if (!condition) throw broken(part);
  };
  is(Array.isArray(vcpus) && vcpus.length >= 1 && vcpus.length <= MAX_VCPUS, 'vCPUs');
  is(typeof interrupts === 'boolean', 'interrupts');
  is(Array.isArray(ended) && ended.every((id) => Number.isInteger(id) && id >= 0), 'ended vCPUs');
  is(new Set(ended).size === ended.length && ended.every((id) => id < vcpus.length), 'ended vCPUs');
  is(ended.length < vcpus.length, 'ended vCPUs');
  is(Array.isArray(msrs) && msrs.length <= 16 && msrs.every(isU32), 'MSR list');
  is(Number.isInteger(tscKhz) && tscKhz > 0 && tscKhz < 2 ** 31, 'time-stamp counter');
  for (const vcpu of vcpus) is(isVcpu(vcpu, interrupts), 'vCPU state');
  is(isVm(vm, interrupts), 'device state');
  is(Array.isArray(serials) && serials.length === (interrupts ? 1 : vcpus.length), 'serial lines');
  is(serials.every(isSerial), 'serial lines');
  is(vmgenid === undefined || (interrupts && hasLength(vmgenid, ACPI_STATE)), 'VM generation device');
  is(Array.isArray(table) && table.length <= MAX_ROWS && table.every(isRow), 'CPUID table');
}

function isVcpu(vcpu: VcpuState, interrupts: boolean): boolean {
  const parts = Object(vcpu) as VcpuState;
  const { msrs, nested, xsave } = parts;
  const sizes = Object.entries(PART_SIZES) as [keyof typeof PART_SIZES, number][];
  const fixed = sizes.filter(([name]) => name !== 'xsave' && (interrupts || name !== 'lapic'));
  return (
    fixed.every(
      ([name, size]) => hasLength(parts[name], size) || (name === 'xcrs' && parts.xcrs === undefined),
    ) &&
    xsave instanceof Uint8Array &&
    xsave.length >= PART_SIZES.xsave &&
    xsave.length <= MAX_XSAVE &&
    (nested === undefined || isNested(nested)) &&
    msrs instanceof Uint8Array &&
    msrs.length <= MAX_MSR_BYTES &&
    msrs.length % layout.kvm_msr_entry.size === 0
  );
}

function isVm(vm: VmState, interrupts: boolean): boolean {
  const { irqchips, pit, clock } = Object(vm) as VmState;
  return (
    Array.isArray(irqchips) &&
    irqchips.length === (interrupts ? IRQCHIPS : 0) &&
    irqchips.every((chip) => hasLength(chip, layout.kvm_irqchip.size)) &&
    (interrupts ? hasLength(pit, layout.kvm_pit_state2.size) : pit === undefined) &&
    hasLength(clock, layout.kvm_clock_data.size)
  );
}

function isSerial(serial: SavedSerial): boolean {
  const { state, input } = Object(serial) as SavedSerial;
  return hasLength(state, DEVICE_STATE) && input instanceof Uint8Array && input.length <= MAX_INPUT;
}

function isRow(row: Row): boolean {
  const { leaf, subleaf, indexed, eax, ebx, ecx, edx } = Object(row) as Row;
  return typeof indexed === 'boolean' && [leaf, subleaf, eax, ebx, ecx, edx].every(isU32);
}

const isU32 = (value: unknown): boolean =>
  Number.isInteger(value) && (value as number) >= 0 && (value as number) <= 0xffff_ffff;
const hasLength = (value: unknown, length: number): boolean =>
  value instanceof Uint8Array && value.length === length;
