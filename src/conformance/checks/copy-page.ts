/** The generation page on a machine that a control gave back: as it was saved, and as it is written there. */
import { type Cpu, hex } from '../../cpu.ts';
import { encodePage, PAGE_GENERATION, PAGE_SIZE } from '../../spec/index.ts';
import { isFault, shown } from '../answers.ts';
import type { MemoryControl } from '../controls.ts';
import { evidenceOf } from '../evidence.ts';
import type { Implementation } from '../implementation.ts';
import type { Copy } from './copy.ts';
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
import type { Watch } from './watch.ts';

/** Written into the page that is not enabled, to see whether a state was saved after it was; and its offset there. */
export const MARK = 0x6d61_726b_6564_2121n;
export const MARK_AT = 64;
/** How often the generation may seem to be renewed between a restore and its first read. */
const MAX_RENEWALS = 2;

/** The page as the machine was saved with it: at the first address, at the second, or disabled. */
export type SavedPage = 'first' | 'second' | 'disabled';

export interface UsablePages extends Pages {
  readonly msr: number;
}

/** The pages where the register can be used: it is offered, memory can be reached, and it takes the values that it has to. */
export async function usablePages(
  implementation: Implementation,
  saved: SavedPage = 'first',
): Promise<UsablePages | undefined> {
  const pages = await pagesOf(implementation);
  const { page } = implementation;
  const evidence = evidenceOf(implementation);
  if (page === undefined || pages === undefined || evidence.has('page.enable') || evidence.has('msrs.page'))
    return undefined;
  const { first, second } = pages;
  const swapped = saved === 'second' && second !== undefined ? { first: second, second: first } : {};
  return { ...pages, ...swapped, msr: page.msr };
}

/** The order in which a copy's CPUs are asked. */
const cpusOf = ({ order, machine }: Copy): readonly (readonly [number, Cpu])[] =>
  order.map((cpu) => [cpu, machine.cpus[cpu]!] as const);

/** The page's register is 0 on every CPU, as after power-on. */
export async function noPage(copy: Copy, when: string): Promise<void> {
  if (copy.implementation.page !== undefined)
    await pageReads(copy.implementation, cpusOf(copy), 0n, 'page.zero', `on ${copy.label} ${when}`);
}

/** How often a page held another generation than the register at the first look. */
const renewals = new WeakMap<Implementation, number>();

export class CopyPage {
  readonly #copy: Copy;
  readonly #pages: UsablePages;
  readonly #memory: MemoryControl;
  readonly #saved: SavedPage;
  readonly #first: Uint8Array;

  private constructor(
    copy: Copy,
    pages: UsablePages,
    memory: MemoryControl,
    saved: SavedPage,
    first: Uint8Array,
  ) {
    this.#copy = copy;
    this.#pages = pages;
    this.#memory = memory;
    this.#saved = saved;
    this.#first = first;
  }

  /**
   * Reads the pages before anything else is asked of the machine; `undefined` where there is no page, or a state that was saved
   * before it was enabled.
   */
  static async read(copy: Copy, saved: SavedPage): Promise<CopyPage | undefined> {
    const pages = await usablePages(copy.implementation, saved);
    const { memory } = copy.machine;
    if (pages === undefined || memory === undefined) return undefined;
    const first = await memory.read(pages.first, PAGE_SIZE);
    const second = pages.second === undefined ? undefined : await memory.read(pages.second, PAGE_SIZE);
    const [marked, at, mark] = second === undefined ? [first, 8, OWN] : [second, MARK_AT, MARK];
    if (bytesOf(mark).some((byte, i) => marked[at + i] !== byte)) return undefined;
    const page = new CopyPage(copy, pages, memory, saved, first);
    if (second !== undefined) page.#untouched(second, pages.second!);
    return page;
  }

  /** Compares the bytes, and the register, with a generation and the saved one. */
  async compare(value: bigint, before: bigint | undefined): Promise<void> {
    const { implementation, label } = this.#copy;
    await this.registerKept('before its first instruction');
    if (this.#saved === 'disabled') return this.#stale();
    const first = this.#first;
    const was = new DataView(first.buffer, first.byteOffset).getBigUint64(PAGE_GENERATION, true);
    const later = await this.#renewedSince(was, value, before);
    const when = `on ${label}, before its first instruction`;
    await comparePage(
      implementation,
      { ...this.#memory, read: async (_, length) => first.subarray(0, length) },
      this.#pages.first,
      [later ? was : value, OWN],
      'page.renewed',
      when,
    );
    await notElsewhere(implementation, this.#memory, this.#pages.first, value, when);
  }

  /** The register is as the machine was saved with it. */
  async registerKept(when: string): Promise<void> {
    const value = this.#saved === 'disabled' ? 0n : encodePage(this.#pages.first);
    const { implementation, label } = this.#copy;
    await pageReads(implementation, cpusOf(this.#copy), value, 'page.restored', `on ${label} ${when}`);
  }

  /** Random values, an acknowledgement and the like leave the page alone. */
  async kept(watch: Watch): Promise<void> {
    const when = 'after other registers were used';
    await this.registerKept(when);
    const known = evidenceOf(this.#copy.implementation).has('page.renewed');
    if (this.#saved === 'disabled' || watch.last === undefined || known) return;
    await this.#holds(watch, this.#pages.first, OWN, `on ${this.#copy.label} ${when}`);
  }

  /** The register still takes and refuses values: on one CPU, another one each time. */
  async writes(watch: Watch): Promise<void> {
    const { implementation, machine, label, order } = this.#copy;
    const { msr, first, second = first } = this.#pages;
    const evidence = evidenceOf(implementation);
    if (evidence.has('page.renewed')) return;
    const cpu = order[0]!;
    const asked = machine.cpus[cpu]!;
    const name = (value: bigint): string => `WRMSR ${hex(msr)} of ${shown(value)} on ${label}, CPU ${cpu}`;
    const wrong = encodePage(second) | 0x20n;
    const refused = await asked.wrmsr(msr, wrong);
    const detail = (): string => `${name(wrong)}: expected #GP, got ${shown(refused)}`;
    evidence.expect('page.reserved-bits', refused === '#GP', detail);
    if (refused === '#GP') await this.registerKept('after a value that it refused');
    await asked.wrmsr(msr, 0n);
    await this.#memory.write(second, new Uint8Array(PAGE_SIZE));
    await this.#memory.write(second + 8, bytesOf(OWN));
    if (second !== first) await this.#memory.write(first, bytesOf(OWN));
    const right = encodePage(second);
    const fault = await asked.wrmsr(msr, right);
    evidence.expect(
      'page.enable',
      fault === undefined,
      () => `${name(right)}: expected no exception, got ${fault}`,
    );
    if (fault !== undefined || watch.last === undefined) return;
    const when = `on ${label} after ${name(right)}`;
    await pageReads(implementation, cpusOf(this.#copy), right, 'page.value', when);
    await this.#holds(watch, second, OWN, when, PAGE_SIZE);
    await notElsewhere(implementation, this.#memory, second, watch.last, when);
    if (second === first) return;
    const left = await this.#memory.read(first, 8);
    const at = bytesOf(OWN).findIndex((byte, i) => left[i] !== byte);
    evidence.expect(
      'page.others',
      at < 0,
      () => `page ${hex(first)}, not enabled any more, on ${label}: byte ${at} was written`,
    );
  }

  #holds(watch: Watch, address: number, own: bigint, when: string, length = 32): Promise<void> {
    return pageHolds(
      this.#copy.implementation,
      watch,
      this.#memory,
      address,
      own,
      'page.holds',
      when,
      length,
    );
  }

  /**
   * Whether the generation was renewed once more since the page was read: then both agree by now. A value that shares a half
   * with the saved one was no generation.
   */
  async #renewedSince(was: bigint, value: bigint, before: bigint | undefined): Promise<boolean> {
    const halves = (of: bigint): readonly bigint[] => [BigInt.asUintN(32, of), of >> 32n];
    const old = before === undefined ? [] : halves(before);
    if (was === value || halves(was).some((half, i) => half === old[i] || half === 0n)) return false;
    const { implementation, machine, order } = this.#copy;
    const bytes = await this.#memory.read(this.#pages.first, 8);
    const now = await machine.cpus[order[0]!]!.rdmsr(implementation.generation!.msr);
    if (isFault(now) || bytesOf(now).some((byte, i) => bytes[i] !== byte)) return false;
    const count = (renewals.get(implementation) ?? 0) + 1;
    renewals.set(implementation, count);
    return count <= MAX_RENEWALS;
  }

  /** The other page holds the mark and zeros: the hypervisor stores into the page that was enabled, and into no other. */
  #untouched(bytes: Uint8Array, address: number): void {
    const { implementation, label } = this.#copy;
    const expected = new Uint8Array(PAGE_SIZE);
    expected.set(bytesOf(MARK), MARK_AT);
    const at = expected.findIndex((byte, i) => bytes[i] !== byte);
    evidenceOf(implementation).expect(
      'page.others',
      at < 0,
      () =>
        `page ${hex(address)}, not enabled, on ${label}: expected ${hex(expected[at]!, 2)} at byte ${at}, got ${hex(bytes[at]!, 2)}`,
    );
  }

  /** A page that was disabled at the save keeps the guest's bytes. */
  #stale(): void {
    const { implementation, label } = this.#copy;
    const bytes = this.#first;
    const at = [...bytesOf(OWN), ...bytesOf(OWN)].findIndex((byte, i) => bytes[i] !== byte);
    evidenceOf(implementation).expect(
      'page.others',
      at < 0,
      () =>
        `page ${hex(this.#pages.first)}, not enabled, on ${label}: byte ${at} is ${hex(bytes[at]!, 2)}, which nobody wrote`,
    );
  }
}
