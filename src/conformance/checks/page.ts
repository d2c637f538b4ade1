/** The stage of the generation page: which values its register takes, and every byte that the hypervisor stores. */
import { type Cpu, hex } from '../../cpu.ts';
import { encodePage, PAGE_SIZE } from '../../spec/index.ts';
import { isFault, type Reading, shown } from '../answers.ts';
import type { MemoryControl } from '../controls.ts';
import { evidenceOf, stage } from '../evidence.ts';
import { type Implementation, isQuick, once } from '../implementation.ts';
import { stillRandom, watchOf } from './reads.ts';
import { generationWriteStage } from './writes.ts';

/** Free under the probe guest. */
const DEFAULT_PAGES = [0x2_0000, 0x2_1000];
/** CPUID.80000008H.EAX[7:0], where the leaf is there; else 36 (SDM volume 3, "CPUID and physical address width"). */
const DEFAULT_WIDTH = 36;

/** How often the generation may be renewed while a page is compared. */
const RENEWALS = 5;

/** Bytes that are compared where a whole page would take long over a serial line. */
const SHORT = 32;

export interface Pages {
  readonly memory: MemoryControl;
  readonly first: number;
  readonly second: number | undefined;
  readonly width: number;
}

/** The pages that the suite may use, and the physical address width. */
export const pagesOf = once(async ({ machine, cpuid }: Implementation): Promise<Pages | undefined> => {
  const { memory } = machine;
  if (memory === undefined) return undefined;
  const [first, second] = memory.pages ?? DEFAULT_PAGES;
  if (first === undefined) return undefined;
  const { eax: maxExtended } = await cpuid(0x8000_0000, 0);
  const told =
    maxExtended >= 0x8000_0008 && maxExtended < 0x8000_0100 ? (await cpuid(0x8000_0008, 0)).eax & 0xff : 0;
  return { memory, first, second, width: told >= 32 && told <= 64 ? told : DEFAULT_WIDTH };
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

/** Compares a page of the first machine with its generation, which may be renewed meanwhile, and the page with it. */
export async function pageHolds(
  implementation: Implementation,
  memory: MemoryControl,
  address: number,
  own: bigint,
  rule: string,
  when: string,
  length?: number,
): Promise<void> {
  const watch = watchOf(implementation)!;
  const compare = (note: boolean): Promise<boolean> =>
    comparePage(implementation, memory, address, [watch.last!, own], rule, when, length, note);
  for (let turn = 0; turn < RENEWALS; turn++) {
    if (await compare(false)) return;
    const before = watch.last;
    if ((await watch.update(when)) === before) break;
  }
  await compare(true);
}

class PageTest {
  readonly #implementation: Implementation;
  readonly #pages: Pages;
  readonly #cpus: readonly Cpu[];
  readonly #msr: number;

  constructor(implementation: Implementation, pages: Pages) {
    this.#implementation = implementation;
    this.#pages = pages;
    this.#cpus = implementation.machine.cpus;
    this.#msr = implementation.page!.msr;
  }

  #expect(id: string, holds: boolean, detail: () => string): void {
    evidenceOf(this.#implementation).expect(id, holds, () => `MSR ${hex(this.#msr)}: ${detail()}`);
  }

  /** Every CPU reads the register's value. */
  async reads(value: bigint, when: string, rule = 'page.value'): Promise<void> {
    for (const [cpu, asked] of this.#cpus.entries()) {
      const now: Reading = await asked.rdmsr(this.#msr);
      this.#expect('page.exception', !isFault(now), () => `RDMSR on CPU ${cpu} raises ${shown(now)}`);
      if (!isFault(now))
        this.#expect(
          rule,
          now === value,
          () => `expected ${shown(value)} ${when} on CPU ${cpu}, got ${shown(now)}`,
        );
    }
  }

  /** A value that has to be accepted, and the bytes of the page then. */
  async enables(cpu: number, address: number, own: bigint): Promise<void> {
    const value = encodePage(address);
    const fault = await this.#cpus[cpu]!.wrmsr(this.#msr, value);
    this.#expect(
      'page.enable',
      fault === undefined,
      () => `WRMSR of ${shown(value)} on CPU ${cpu}: expected no exception, got ${fault}`,
    );
    if (fault !== undefined) return;
    const when = `after a WRMSR of ${shown(value)} on CPU ${cpu}`;
    await this.holds(address, own, 'page.holds', when);
    await this.reads(value, when);
  }

  async disables(cpu: number): Promise<void> {
    const fault = await this.#cpus[cpu]!.wrmsr(this.#msr, 0n);
    this.#expect(
      'page.disable',
      fault === undefined,
      () => `WRMSR of 0 on CPU ${cpu}: expected no exception, got ${fault}`,
    );
    await this.reads(0n, `after a WRMSR of 0 on CPU ${cpu}`, 'page.disable');
  }

  holds(address: number, own: bigint, rule: string, when: string, length?: number): Promise<void> {
    return pageHolds(this.#implementation, this.#pages.memory, address, own, rule, when, length);
  }

  /** A page that was left keeps its stale bytes. */
  async stale(address: number, when: string): Promise<void> {
    await comparePage(
      this.#implementation,
      this.#pages.memory,
      address,
      [OWN, OWN],
      'page.others',
      when,
      SHORT,
    );
  }

  /** A page that is not enabled is all zeros still. */
  async untouched(
    address: number | undefined,
    when: string,
    rule = 'page.others',
    length = PAGE_SIZE,
  ): Promise<void> {
    if (address === undefined) return;
    const seen = await this.#pages.memory.read(address, length);
    const at = seen.findIndex((byte) => byte !== 0);
    this.#expect(
      rule,
      at < 0,
      () =>
        `page ${hex(address)}, not enabled, ${when}: expected zeros, got ${hex(seen[at]!, 2)} at byte ${at}`,
    );
  }

  /** A value that has to raise #GP, and to change neither register nor memory. */
  async refuses(
    id: string,
    value: bigint,
    cpu: number,
    enabled: readonly [value: bigint, own: bigint],
  ): Promise<void> {
    const fault = await this.#cpus[cpu]!.wrmsr(this.#msr, value);
    const when = `after a WRMSR of ${shown(value)} on CPU ${cpu}`;
    this.#expect(id, fault === '#GP', () => `${when}: expected #GP, got ${shown(fault)}`);
    if (fault === undefined) {
      await this.#cpus[cpu]!.wrmsr(this.#msr, enabled[0]); // accepted wrongly: the next question starts from the right value
      return;
    }
    await this.reads(enabled[0], when, 'page.unchanged');
    if (enabled[0] !== 0n) await this.holds(this.#pages.first, enabled[1], 'page.unchanged', when, SHORT);
    await this.untouched(this.#pages.second, when, 'page.unchanged', SHORT);
  }

  async refusesAll(cpu: number, enabled: readonly [value: bigint, own: bigint]): Promise<void> {
    const { memory, first, second = first, width } = this.#pages;
    const to = BigInt(second);
    const all = cpu === 0 || (await isQuick(this.#implementation));
    for (let bit = 1n; bit <= 11n; bit++)
      if (all || bit === 1n || bit === 11n)
        await this.refuses('page.reserved-bits', to | 1n | (1n << bit), cpu, enabled);
    await this.refuses('page.reserved-bits', 2n, cpu, enabled);
    await this.refuses('page.half', to, cpu, enabled);
    for (const bit of new Set([width, Math.min(63, width + 1), 52, 62, 63]))
      if (bit >= width && bit <= 63)
        await this.refuses('page.width', to | 1n | (1n << BigInt(bit)), cpu, enabled);
    const top = width <= 52 ? [2 ** width - PAGE_SIZE] : [];
    for (const hole of memory.holes ?? top) await this.refuses('page.ram', encodePage(hole), cpu, enabled);
  }
}

/** The guest's own word of the page: no generation, and easy to see when it is overwritten. */
export const OWN = 0x6f77_6e20_7061_6765n;

export const pageStage = stage(generationWriteStage, async (implementation) => {
  const pages = await pagesOf(implementation);
  const watch = watchOf(implementation);
  if (implementation.page === undefined || pages === undefined || watch?.last === undefined) return;
  const { memory, first, second } = pages;
  const test = new PageTest(implementation, pages);
  const { cpus } = implementation.machine;
  const evidence = evidenceOf(implementation);
  const initial: Reading[] = [];
  for (const cpu of cpus) initial.push(await cpu.rdmsr(implementation.page.msr));
  evidence.expect(
    'msrs.page',
    !initial.every(isFault),
    () =>
      `RDMSR ${hex(implementation.page!.msr)}: expected the page's register at the index that is advertised, got ${shown(initial[0])}`,
  );
  if (initial.every(isFault)) return;
  await test.reads(0n, 'after power-on', 'page.zero');
  for (const address of [first, second])
    if (address !== undefined) await memory.write(address, new Uint8Array(PAGE_SIZE));
  await test.disables(0);
  await test.refusesAll(0, [0n, 0n]);
  await test.untouched(first, 'before it was enabled');
  await test.enables(0, first, 0n);
  await memory.write(first + 8, bytesOf(OWN));
  await test.enables(0, first, OWN); // registered again: bytes 8 to 15 stay the guest's
  await test.untouched(second, `while ${hex(first)} is enabled`);
  for (let cpu = 0; cpu < cpus.length; cpu++) await test.refusesAll(cpu, [encodePage(first), OWN]);
  for (let cpu = 0; cpu < cpus.length; cpu++) {
    await moves(test, pages, cpu);
    await test.enables(cpu, first, OWN);
  }
  await watch.check("the page's register was written");
  await test.holds(first, OWN, 'page.holds', "after the page's register was written");
  if (implementation.generation?.acknowledged) {
    await cpus[0].wrmsr(implementation.generation.msr, watch.last);
    await test.holds(first, OWN, 'page.holds', 'after an acknowledgement');
  }
  await stillRandom(implementation);
});

/** The last write wins: to the second page, off, and the page that was left stays as it was. */
async function moves(test: PageTest, { memory, first, second }: Pages, cpu: number): Promise<void> {
  if (second !== undefined) {
    await memory.write(first, bytesOf(OWN)); // stale: nothing may refresh a page that is left
    await test.enables(cpu, second, 0n);
    await test.stale(first, `after it was left for ${hex(second)}`);
    await test.disables(cpu);
    await test.stale(first, 'after the page was disabled');
    await memory.write(second, new Uint8Array(PAGE_SIZE));
  } else await test.disables(cpu);
  await memory.write(first, new Uint8Array(8));
  await test.reads(0n, 'after it was disabled', 'page.disable');
}
