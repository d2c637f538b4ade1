/** One machine that a control gave back, examined from its first read on. */
import { hex } from '../../cpu.ts';
import { encodePage, PAGE_GENERATION, PAGE_SIZE } from '../../spec/index.ts';
import { isFault, type Reading, shown } from '../answers.ts';
import { type Evidence, evidenceOf } from '../evidence.ts';
import { type Implementation, isQuick } from '../implementation.ts';
import type { Machine } from '../machine.ts';
import { changedLeaf } from './discovery.ts';
import { bytesOf, comparePage, OWN, type Pages, pagesOf } from './page.ts';
import { type Place, readRow } from './streams.ts';
import { examineGeneration } from './watch.ts';
import { mayWrite } from './writes.ts';

/** Values of a copy's first CPU, and of each other one: enough for a bit that never changes. */
const COPY_VALUES = 64;
const COPY_VALUES_EACH = 48;
/** Rows more, of so many values, on CPUs that answer at once: streams that overlap by less than their sum are found. */
const MORE_ROWS = 2;
const MORE_VALUES = 100;
/** Written to the RNG of every copy: the values after it have to differ. */
const COPY_INPUT = 0x1122_3344_5566_7788n;
/** Written into the second page, to see whether a state was saved after the page was enabled; and its offset there. */
export const MARK = 0x6d61_726b_6564_2121n;
export const MARK_AT = 64;

/** The page as the machine was saved with it. */
export type SavedPage = 'enabled' | 'disabled';

export class Copy {
  readonly implementation: Implementation;
  readonly machine: Machine;
  readonly label: string;
  readonly kind: Place['kind'];
  readonly order: readonly number[];
  readonly #evidence: Evidence;

  constructor(
    implementation: Implementation,
    machine: Machine,
    label: string,
    kind: Place['kind'],
    turn: number,
  ) {
    this.implementation = implementation;
    this.machine = machine;
    this.label = label;
    this.kind = kind;
    this.#evidence = evidenceOf(implementation);
    const count = machine.cpus.length;
    // The first read comes from another CPU each time.
    this.order = machine.cpus.map((_, i) => (i + turn) % count);
  }

  /** The generation on every CPU, each CPU's first read; `saved`: the value that it must not have. */
  async generation(saved: bigint | undefined): Promise<bigint | undefined> {
    const { generation } = this.implementation;
    if (generation === undefined) return undefined;
    let value: bigint | undefined;
    for (const cpu of this.order) {
      const name = `RDMSR ${hex(generation.msr)} on ${this.label}, CPU ${cpu}`;
      const now: Reading = await this.machine.cpus[cpu]!.rdmsr(generation.msr);
      if (!examineGeneration(this.#evidence, now, name)) continue;
      if (saved !== undefined && this.kind === 'copy') this.#renewed(saved, now, name);
      const again = value === undefined || value === now || now === saved ? value : await this.#first();
      this.#evidence.expect(
        'generation.same',
        value === undefined || value === now || now === saved || again === now,
        () => `${name}: expected ${shown(value)} as on CPU ${this.order[0]}, got ${shown(now)}`,
      );
      value = again ?? now;
    }
    return value;
  }

  /** The generation of the CPU that was asked first: it may have been renewed meanwhile. */
  async #first(): Promise<bigint | undefined> {
    const now = await this.machine.cpus[this.order[0]!]!.rdmsr(this.implementation.generation!.msr);
    return isFault(now) ? undefined : now;
  }

  #renewed(saved: bigint, now: bigint, name: string): void {
    this.#evidence.expect(
      'generation.restored',
      now !== saved,
      () => `${name}: expected another value than the saved one, got ${shown(now)}`,
    );
    const half = BigInt.asUintN(32, now) === BigInt.asUintN(32, saved) || now >> 32n === saved >> 32n;
    this.#evidence.expect(
      'generation.halves-restored',
      !half,
      () => `${name}: expected both halves to differ from the saved ${shown(saved)}, got ${shown(now)}`,
    );
  }

  async values(): Promise<void> {
    if (this.implementation.rng === undefined) return;
    const quick = await isQuick(this.implementation);
    for (const [turn, cpu] of this.order.entries()) {
      const count = turn === 0 ? COPY_VALUES : COPY_VALUES_EACH;
      await this.#row(cpu, count);
      for (let row = 0; quick && turn === 0 && row < MORE_ROWS; row++) await this.#row(cpu, MORE_VALUES);
    }
  }

  #row(cpu: number, count: number, written?: true): Promise<unknown> {
    const place = { machine: this.label, kind: this.kind, cpu, written };
    return readRow(this.implementation, this.machine.cpus[cpu]!, place, count);
  }

  async leaves(rule: string): Promise<void> {
    for (const cpu of this.order) {
      const changed = await changedLeaf(this.implementation, this.machine.cpus[cpu]!);
      this.#evidence.expect(rule, changed === undefined, () => `${this.label}, CPU ${cpu}: ${changed}`);
    }
  }

  /** Writes to both registers on each CPU: the saved generation is another value now, and equal input makes no equal values. */
  async writes(saved: bigint | undefined, value: bigint | undefined): Promise<void> {
    const { generation, rng } = this.implementation;
    let current = value;
    for (const cpu of this.order) {
      if (generation !== undefined && current !== undefined)
        for (const written of saved === undefined || saved === current ? [current] : [saved, current])
          current = (await this.#writeGeneration(cpu, written, current)) ?? current;
      if (rng === undefined || !mayWrite(this.implementation)) continue;
      const fault = await this.machine.cpus[cpu]!.wrmsr(rng.msr, COPY_INPUT);
      const name = `WRMSR ${hex(rng.msr)} on ${this.label}, CPU ${cpu}`;
      if (!rng.input)
        this.#evidence.expect(
          'rng.refuse',
          fault === '#GP',
          () => `${name}: expected #GP, got ${shown(fault)}`,
        );
      else if (this.implementation.draft !== 2)
        this.#evidence.expect(
          'rng.write',
          fault === undefined,
          () => `${name}: expected no exception, got ${fault}`,
        );
      await this.#row(cpu, 8, true);
    }
  }

  /** Returns the generation after the write. */
  async #writeGeneration(cpu: number, written: bigint, current: bigint): Promise<bigint | undefined> {
    const { msr, acknowledged } = this.implementation.generation!;
    const asked = this.machine.cpus[cpu]!;
    const fault = await asked.wrmsr(msr, written);
    const after = await asked.rdmsr(msr);
    const name = `WRMSR ${hex(msr)} of ${shown(written)} on ${this.label}, CPU ${cpu}`;
    const known = this.#evidence.has('generation.same');
    this.#evidence.expect(
      'generation.exception',
      !isFault(after),
      () => `RDMSR ${hex(msr)} on ${this.label}, CPU ${cpu}: raises ${shown(after)}`,
    );
    // A renewal in between makes another value of the written one, and shows in the read.
    if (after !== current && after !== written && !isFault(after)) {
      this.#evidence.expect(
        'generation.steady',
        known,
        () => `${name}: the generation became ${shown(after)}`,
      );
      return after;
    }
    const right = acknowledged && written === current ? undefined : '#GP';
    const id = !acknowledged
      ? 'generation.write'
      : written === current
        ? 'acknowledgement.accepted'
        : 'acknowledgement.other';
    this.#evidence.expect(
      id,
      fault === right,
      () => `${name}: expected ${shown(right)}, got ${shown(fault)}`,
    );
    this.#evidence.expect(
      'generation.write-keeps',
      after === current || known,
      () => `${name}: expected the generation to stay ${shown(current)}, got ${shown(after)}`,
    );
    return isFault(after) ? undefined : after;
  }

  /** The page's register is 0 on every CPU, as after power-on. */
  async noPage(when: string): Promise<void> {
    if (this.implementation.page === undefined) return;
    await this.#pageIs(0n, 'page.zero', when);
  }

  async #pageIs(value: bigint, rule: string, when: string): Promise<void> {
    const { msr } = this.implementation.page!;
    for (const cpu of this.order) {
      const now = await this.machine.cpus[cpu]!.rdmsr(msr);
      const name = `RDMSR ${hex(msr)} on ${this.label}, CPU ${cpu}`;
      this.#evidence.expect('page.exception', !isFault(now), () => `${name}: raises ${shown(now)}`);
      if (!isFault(now))
        this.#evidence.expect(
          rule,
          now === value,
          () => `${name}: expected ${shown(value)} ${when}, got ${shown(now)}`,
        );
    }
  }

  /**
   * The page's bytes, read before anything else was asked of the machine. The result compares them, and the register, with a
   * generation and the saved one; absent where there is no page, or a state that was saved before it was enabled.
   */
  async page(
    saved: SavedPage,
  ): Promise<((value: bigint, before: bigint | undefined) => Promise<void>) | undefined> {
    const pages = await pagesOf(this.implementation);
    const { memory } = this.machine;
    if (this.implementation.page === undefined || pages === undefined || memory === undefined)
      return undefined;
    const first = await memory.read(pages.first, PAGE_SIZE);
    const second = pages.second === undefined ? undefined : await memory.read(pages.second, PAGE_SIZE);
    const [marked, at, mark] = second === undefined ? [first, 8, OWN] : [second, MARK_AT, MARK];
    if (bytesOf(mark).some((byte, i) => marked[at + i] !== byte)) return undefined;
    if (second !== undefined) this.#untouched(second, pages.second!);
    return async (value, before) => {
      const register = saved === 'enabled' ? encodePage(pages.first) : 0n;
      await this.#pageIs(register, 'page.restored', 'as saved');
      if (saved === 'disabled') return this.#stale(first, pages);
      const was = new DataView(first.buffer, first.byteOffset).getBigUint64(PAGE_GENERATION, true);
      // Renewed once more since the page was read: then both agree by now.
      const later = was !== value && was !== before && (await this.#agrees(pages));
      await comparePage(
        this.implementation,
        { ...memory, read: async (_, length) => first.subarray(0, length) },
        pages.first,
        [later ? was : value, OWN],
        'page.renewed',
        `on ${this.label}, before its first instruction`,
      );
    };
  }

  async #agrees({ first }: Pages): Promise<boolean> {
    const bytes = await this.machine.memory!.read(first, 8);
    const now = await this.#first();
    return now !== undefined && bytesOf(now).every((byte, i) => bytes[i] === byte);
  }

  /** The second page holds the mark and zeros: the hypervisor stores into the page that was enabled, and into no other. */
  #untouched(bytes: Uint8Array, address: number): void {
    const expected = new Uint8Array(PAGE_SIZE);
    expected.set(bytesOf(MARK), MARK_AT);
    const at = expected.findIndex((byte, i) => bytes[i] !== byte);
    this.#evidence.expect(
      'page.others',
      at < 0,
      () =>
        `page ${hex(address)}, not enabled, on ${this.label}: expected ${hex(expected[at]!, 2)} at byte ${at}, got ${hex(bytes[at]!, 2)}`,
    );
  }

  /** A page that was disabled at the save keeps the guest's bytes. */
  #stale(bytes: Uint8Array, { first }: Pages): void {
    const at = [...bytesOf(OWN), ...bytesOf(OWN)].findIndex((byte, i) => bytes[i] !== byte);
    this.#evidence.expect(
      'page.others',
      at < 0,
      () =>
        `page ${hex(first)}, not enabled, on ${this.label}: byte ${at} is ${hex(bytes[at]!, 2)}, which nobody wrote`,
    );
  }
}
