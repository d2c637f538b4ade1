/** The stage of the generation page: which values its register takes, and every byte that the hypervisor stores. */
import { type Cpu, hex } from '../../cpu.ts';
import { encodePage, PAGE_SIZE } from '../../spec/index.ts';
import { isFault, type Reading, shown } from '../answers.ts';
import { evidenceOf, stage } from '../evidence.ts';
import { type Implementation, isQuick } from '../implementation.ts';
import {
  bytesOf,
  comparePage,
  notElsewhere,
  OWN,
  type Pages,
  pageHolds,
  pageReads,
  pagesOf,
} from './page-bytes.ts';
import { stillRandom, watchOf } from './reads.ts';
import { generationWriteStage } from './writes.ts';

/** Bytes that are compared where a whole page would take long over a serial line. */
const SHORT = 32;

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
  reads(value: bigint, when: string, rule = 'page.value'): Promise<void> {
    return pageReads(this.#implementation, this.#cpus.entries(), value, rule, when);
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
    const { memory } = this.#pages;
    await notElsewhere(this.#implementation, memory, address, watchOf(this.#implementation)!.last!, when);
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
    const watch = watchOf(this.#implementation)!;
    return pageHolds(this.#implementation, watch, this.#pages.memory, address, own, rule, when, length);
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
    const { first, second = first, width, holes } = this.#pages;
    const to = BigInt(second);
    const quick = await isQuick(this.#implementation);
    const all = cpu === 0 || quick;
    for (let bit = 1n; bit <= 11n; bit++)
      if (all || bit === 1n || bit === 11n)
        await this.refuses('page.reserved-bits', to | 1n | (1n << bit), cpu, enabled);
    for (const value of all ? [to | 0xa1n, to | 0x801n | 2n, to | 0xfffn, 2n, 0x800n, 0xffen] : [2n])
      await this.refuses('page.reserved-bits', value, cpu, enabled);
    await this.refuses('page.half', to, cpu, enabled);
    const bits = quick ? Array.from({ length: 64 }, (_, bit) => bit) : [width, width + 1, 52, 62, 63];
    for (const bit of new Set(bits))
      if (bit >= width && bit <= 63)
        await this.refuses('page.width', to | 1n | (1n << BigInt(bit)), cpu, enabled);
    for (const hole of holes) await this.refuses('page.ram', encodePage(hole), cpu, enabled);
  }
}

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
