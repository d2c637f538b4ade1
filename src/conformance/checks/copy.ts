/** One machine that a control gave back, examined from its first read on. */
import { hex } from '../../cpu.ts';
import { isFault, type Reading, shown } from '../answers.ts';
import { type Evidence, evidenceOf } from '../evidence.ts';
import { type Implementation, isQuick } from '../implementation.ts';
import type { Machine } from '../machine.ts';
import { Reports } from './acknowledgements.ts';
import { changedLeaf } from './discovery.ts';
import { type Place, readRow } from './streams.ts';
import { examineGeneration } from './watch.ts';
import { mayWrite } from './writes.ts';

/** Values of a copy's first CPU, and of each other one: enough for a bit that never changes. */
const COPY_VALUES = 64;
const COPY_VALUES_EACH = 48;
/** Values more where a CPU answers at once, of the first CPU and of each other: streams that overlap by less are found. */
const MORE_VALUES = 400;
const MORE_VALUES_EACH = 100;
/** Written to the RNG of every copy: the values after it have to differ. */
const COPY_INPUT = 0x1122_3344_5566_7788n;
export class Copy {
  readonly implementation: Implementation;
  readonly machine: Machine;
  readonly label: string;
  readonly kind: Place['kind'];
  readonly order: readonly number[];
  readonly #evidence: Evidence;
  /** Counts what the owner hears of this machine; absent where nobody can say whose reports those are. */
  readonly #reports: Reports | undefined;

  constructor(
    implementation: Implementation,
    machine: Machine,
    label: string,
    kind: Place['kind'],
    turn: number,
    inPlace = false,
  ) {
    this.implementation = implementation;
    this.machine = machine;
    this.label = label;
    this.kind = kind;
    this.#evidence = evidenceOf(implementation);
    if (inPlace && Reports.can(implementation)) this.#reports = new Reports(implementation);
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
      if (quick) await this.#row(cpu, turn === 0 ? MORE_VALUES : MORE_VALUES_EACH);
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
        for (const make of [() => saved, (now: bigint) => now ^ (1n << 40n), (now: bigint) => now]) {
          const written: bigint | undefined = make(current);
          if (written !== undefined)
            current = (await this.#writeGeneration(cpu, written, current)) ?? current;
        }
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
    await this.#reports?.before();
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
      this.#reports?.forget();
      this.#evidence.expect(
        'generation.steady',
        known,
        () => `${name}: the generation became ${shown(after)}`,
      );
      return after;
    }
    if (written !== current || fault === undefined) await this.#reports?.after(written, current, name);
    else this.#reports?.forget();
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
}
