/** One machine that a control gave back, examined from its first read on. */
import { hex } from '../../cpu.ts';
import { encodePage, PAGE_SIZE } from '../../spec/index.ts';
import { isFault, type Reading, shown } from '../answers.ts';
import { evidenceOf } from '../evidence.ts';
import type { Implementation } from '../implementation.ts';
import type { Machine } from '../machine.ts';
import { changedLeaf } from './discovery.ts';
import { bytesOf, comparePage, OWN, pagesOf } from './page.ts';
import { type Place, readRow } from './streams.ts';
import { examineGeneration } from './watch.ts';
import { mayWrite } from './writes.ts';

/** Values of a copy's first CPU: streams that overlap by less than this are found. */
const COPY_VALUES = 64;
/** Written to the RNG of every copy: the values after it have to differ. */
const COPY_INPUT = 0x1122_3344_5566_7788n;
/** Written beside the page, to see whether a state was saved after the page was enabled. */
export const MARK = 0x6d61_726b_6564_2121n;

type Kind = Place['kind'];

export class Copy {
  readonly implementation: Implementation;
  readonly machine: Machine;
  readonly label: string;
  readonly kind: Kind;
  readonly order: readonly number[];

  constructor(implementation: Implementation, machine: Machine, label: string, kind: Kind, turn: number) {
    this.implementation = implementation;
    this.machine = machine;
    this.label = label;
    this.kind = kind;
    const count = machine.cpus.length;
    // The first read comes from another CPU each time.
    this.order = machine.cpus.map((_, i) => (i + turn) % count);
  }

  /** The generation on every CPU, each CPU's first read; `saved`: the value that it must not have. */
  async generation(saved: bigint | undefined): Promise<bigint | undefined> {
    const { generation } = this.implementation;
    if (generation === undefined) return undefined;
    const evidence = evidenceOf(this.implementation);
    let value: bigint | undefined;
    for (const cpu of this.order) {
      const name = `RDMSR ${hex(generation.msr)} on ${this.label}, CPU ${cpu}`;
      const now: Reading = await this.machine.cpus[cpu]!.rdmsr(generation.msr);
      if (!examineGeneration(evidence, now, name)) continue;
      if (saved !== undefined && this.kind === 'copy') {
        evidence.expect(
          'generation.restored',
          now !== saved,
          () => `${name}: expected another value than the saved one, got ${shown(now)}`,
        );
        const half = BigInt.asUintN(32, now) === BigInt.asUintN(32, saved) || now >> 32n === saved >> 32n;
        evidence.expect(
          'generation.halves-restored',
          !half,
          () => `${name}: expected both halves to differ from the saved ${shown(saved)}, got ${shown(now)}`,
        );
      }
      evidence.expect(
        'generation.same',
        value === undefined || value === now || now === saved,
        () => `${name}: expected ${shown(value)} as on CPU ${this.order[0]}, got ${shown(now)}`,
      );
      value ??= now;
    }
    return value;
  }

  async values(): Promise<void> {
    if (this.implementation.rng === undefined) return;
    for (const [turn, cpu] of this.order.entries())
      await readRow(
        this.implementation,
        this.machine.cpus[cpu]!,
        this.#place(cpu),
        turn === 0 ? COPY_VALUES : COPY_VALUES / 4,
      );
  }

  #place(cpu: number): Place {
    return { machine: this.label, kind: this.kind, cpu };
  }

  async leaves(rule: string): Promise<void> {
    for (const cpu of this.order) {
      const changed = await changedLeaf(this.implementation, this.machine.cpus[cpu]!);
      evidenceOf(this.implementation).expect(
        rule,
        changed === undefined,
        () => `${this.label}, CPU ${cpu}: ${changed}`,
      );
    }
  }

  /** Writes to both registers: the saved generation is another value now, and equal input makes no equal values. */
  async writes(saved: bigint | undefined, value: bigint | undefined): Promise<void> {
    const { implementation, machine, order } = this;
    const evidence = evidenceOf(implementation);
    const { generation, rng } = implementation;
    const cpu = order.at(-1)!;
    if (generation !== undefined && value !== undefined && saved !== undefined) {
      const ways: [bigint, string][] = generation.acknowledged
        ? [
            [saved, 'acknowledgement.other'],
            [value, 'acknowledgement.accepted'],
          ]
        : [[saved, 'generation.write']];
      for (const [written, id] of ways) {
        if (written === saved && saved === value) continue;
        const fault = await machine.cpus[cpu]!.wrmsr(generation.msr, written);
        const right = id === 'acknowledgement.accepted' ? undefined : '#GP';
        evidence.expect(
          id,
          fault === right,
          () =>
            `WRMSR ${hex(generation.msr)} of ${shown(written)} on ${this.label}, CPU ${cpu}: expected ${shown(right)}, got ${shown(fault)}`,
        );
        const after = await machine.cpus[cpu]!.rdmsr(generation.msr);
        evidence.expect(
          'generation.exception',
          !isFault(after),
          () => `RDMSR ${hex(generation.msr)} on ${this.label}, CPU ${cpu}: raises ${shown(after)}`,
        );
        evidence.expect(
          'generation.write-keeps',
          after === value || evidence.has('generation.same'),
          () =>
            `RDMSR ${hex(generation.msr)} on ${this.label} after a WRMSR: expected ${shown(value)}, got ${shown(after)}`,
        );
      }
    }
    if (rng === undefined || !mayWrite(implementation)) return;
    const fault = await machine.cpus[cpu]!.wrmsr(rng.msr, COPY_INPUT);
    if (rng.input && implementation.draft !== 2)
      evidence.expect(
        'rng.write',
        fault === undefined,
        () => `WRMSR ${hex(rng.msr)} on ${this.label}, CPU ${cpu}: expected no exception, got ${fault}`,
      );
    await readRow(implementation, machine.cpus[cpu]!, { ...this.#place(cpu), written: true }, 8);
  }

  /** The page: register and memory, before anything else was asked of the machine. */
  async page(): Promise<((value: bigint | undefined) => Promise<void>) | undefined> {
    const { implementation, machine, label } = this;
    const pages = await pagesOf(implementation);
    const { memory } = machine;
    if (implementation.page === undefined || pages === undefined || memory === undefined) return undefined;
    const { msr } = implementation.page;
    const evidence = evidenceOf(implementation);
    const mark = pages.second ?? pages.first + 8;
    const marked = pages.second === undefined ? OWN : MARK;
    const seen = await memory.read(mark, 8);
    if (bytesOf(marked).some((byte, i) => seen[i] !== byte)) return undefined; // saved before the page was enabled
    const first = await memory.read(pages.first, PAGE_SIZE);
    const still = { ...memory, read: async (_: number, length: number) => first.subarray(0, length) };
    return async (value) => {
      for (const cpu of this.order) {
        const now = await machine.cpus[cpu]!.rdmsr(msr);
        evidence.expect(
          'page.exception',
          !isFault(now),
          () => `RDMSR ${hex(msr)} on ${label}, CPU ${cpu}: raises ${shown(now)}`,
        );
        if (!isFault(now))
          evidence.expect(
            'page.restored',
            now === encodePage(pages.first),
            () =>
              `RDMSR ${hex(msr)} on ${label}, CPU ${cpu}: expected ${shown(encodePage(pages.first))} as saved, got ${shown(now)}`,
          );
      }
      if (value !== undefined)
        await comparePage(
          implementation,
          still,
          pages.first,
          [value, OWN],
          'page.renewed',
          `on ${label}, before its first instruction`,
        );
    };
  }
}
