/** The generation page's memory, and its register on every CPU: read and compared with the expectation. */
import { type Cpu, hex } from '../../cpu.ts';
import { LEAF_ADDRESS_SIZES, LEAF_BASIC, LEAF_MAX_EXTENDED, PAGE_SIZE } from '../../spec/index.ts';
import { isFault, type Reading, shown } from '../answers.ts';
import type { MemoryControl } from '../controls.ts';
import { evidenceOf } from '../evidence.ts';
import { type Implementation, once } from '../implementation.ts';
import type { Watch } from './watch.ts';

/** The guest's own word of the page: no generation, and easy to see when it is overwritten. */
export const OWN = 0x6f77_6e20_7061_6765n;

/** Free under the probe guest. */
const DEFAULT_PAGES = [0x2_0000, 0x2_1000];
/** CPUID.80000008H.EAX[7:0], where the leaf is there; else 36 (SDM volume 3, "CPUID and physical address width"). */
const DEFAULT_WIDTH = 36;

/** How often the generation may be renewed while a page is compared. */
const RENEWALS = 5;

export interface Pages {
  readonly memory: MemoryControl;
  readonly first: number;
  readonly second: number | undefined;
  readonly width: number;
  /** Pages that are no RAM. */
  readonly holes: readonly number[];
}

/** The local APIC's page, where CPUID.1.EDX bit 9 says that there is one. */
const APIC = 0xfee0_0000;
const HAS_APIC = 1 << 9;

/** The pages that the suite may use, and the physical address width. */
export const pagesOf = once(async ({ machine, cpuid }: Implementation): Promise<Pages | undefined> => {
  const { memory } = machine;
  if (memory === undefined) return undefined;
  const [first, second] = memory.pages ?? DEFAULT_PAGES;
  if (first === undefined) return undefined;
  const { eax: maxExtended } = await cpuid(LEAF_MAX_EXTENDED, 0);
  const isThere = maxExtended >= LEAF_ADDRESS_SIZES && maxExtended < LEAF_MAX_EXTENDED + 0x100;
  const told = isThere ? (await cpuid(LEAF_ADDRESS_SIZES, 0)).eax & 0xff : 0;
  const width = told >= 32 && told <= 64 ? told : DEFAULT_WIDTH;
  const top = width <= 52 ? [2 ** width - PAGE_SIZE] : [];
  const apic = ((await cpuid(LEAF_BASIC, 0)).edx & HAS_APIC) !== 0 ? [APIC] : [];
  return { memory, first, second, width, holes: memory.holes ?? [...top, ...apic] };
});

export const bytesOf = (value: bigint): Uint8Array => {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, value, true);
  return bytes;
};

/** A page as the suite expects it: the generation, the guest's own 8 bytes, and zeros. */
function pageBytes(generation: bigint, own: bigint): Uint8Array {
  const bytes = new Uint8Array(PAGE_SIZE);
  bytes.set(bytesOf(generation));
  bytes.set(bytesOf(own), 8);
  return bytes;
}

/**
 * Compares a page with the expected one: the first 8 bytes break `rule`, the others page.others. With `note` off a difference is
 * no failure yet. Returns whether they are the same.
 */
export async function comparePage(
  implementation: Implementation,
  memory: MemoryControl,
  address: number,
  [generation, own]: readonly [bigint, bigint],
  rule: string,
  when: string,
  length: number = PAGE_SIZE,
  note = true,
): Promise<boolean> {
  const evidence = evidenceOf(implementation);
  const seen = await memory.read(address, length);
  const expected = pageBytes(generation, own).subarray(0, length);
  const differs = expected.findIndex((byte, i) => seen[i] !== byte);
  const text = (): string =>
    `page ${hex(address)} ${when}: expected ${hex(expected[differs]!, 2)} at byte ${differs}, got ${hex(seen[differs]!, 2)}`;
  if (differs >= 0 && !note) return false;
  evidence.expect(rule, differs < 0 || differs >= 8, text);
  if (differs < 0 || differs >= 8) evidence.expect('page.others', differs < 0, text);
  return differs < 0;
}

/** Compares a page of a machine with its generation, which may be renewed meanwhile, and the page with it. */
export async function pageHolds(
  implementation: Implementation,
  watch: Watch,
  memory: MemoryControl,
  address: number,
  own: bigint,
  rule: string,
  when: string,
  length?: number,
): Promise<void> {
  const compare = (note: boolean): Promise<boolean> =>
    comparePage(implementation, memory, address, [watch.last!, own], rule, when, length, note);
  for (let turn = 0; turn < RENEWALS; turn++) {
    if (await compare(false)) return;
    const before = watch.last;
    if ((await watch.update(when)) === before) break;
  }
  await compare(true);
}

/** Every CPU, in an order that the caller chooses, reads the value of the page's register. */
export async function pageReads(
  implementation: Implementation,
  cpus: Iterable<readonly [cpu: number, asked: Cpu]>,
  value: bigint,
  rule: string,
  when: string,
): Promise<void> {
  const { msr } = implementation.page!;
  const evidence = evidenceOf(implementation);
  for (const [cpu, asked] of cpus) {
    const now: Reading = await asked.rdmsr(msr);
    evidence.expect(
      'page.exception',
      !isFault(now),
      () => `RDMSR ${hex(msr)} ${when}, CPU ${cpu}: raises ${shown(now)}`,
    );
    if (isFault(now)) continue;
    evidence.expect(
      rule,
      now === value,
      () => `RDMSR ${hex(msr)} ${when}, CPU ${cpu}: expected ${shown(value)}, got ${shown(now)}`,
    );
  }
}

/** Addresses that a mistake in an address would make of a page's. */
const mistaken = (address: number): readonly number[] =>
  [0, address >> 12, address - PAGE_SIZE, address + PAGE_SIZE, address - 0x1_0000, address + 0x1_0000].filter(
    (other) => other >= 0 && other !== address,
  );

/** The generation at another address, where a wrong store would have put it. */
export async function notElsewhere(
  implementation: Implementation,
  memory: MemoryControl,
  address: number,
  generation: bigint,
  when: string,
): Promise<void> {
  const bytes = bytesOf(generation);
  for (const other of mistaken(address)) {
    // Not every page of a machine can be read.
    const seen = await Promise.resolve()
      .then(() => memory.read(other, 8))
      .catch(() => undefined);
    evidenceOf(implementation).expect(
      'page.others',
      seen === undefined || bytes.some((byte, i) => seen[i] !== byte),
      () => `page ${hex(address)} ${when}: expected no store elsewhere, got the generation at ${hex(other)}`,
    );
  }
}
