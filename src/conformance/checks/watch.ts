/** The generation, watched on every CPU from the first read to the last. */
import { type Cpu, hex } from '../../cpu.ts';
import { isFault, type Reading, shown } from '../answers.ts';
import { type Evidence, evidenceOf } from '../evidence.ts';
import type { Implementation } from '../implementation.ts';
import type { Machine } from '../machine.ts';

/** Reads in a row; a value that changes in every third of them is no value of a machine. */
export const GENERATION_READS = 33;
/** On a CPU that answers at once. */
const MORE_READS = 200;
/** A change that an event seems to cause is believed when it follows the event so often. */
const BELIEVED = 3;

const low = (value: bigint): bigint => value & 0xffff_ffffn;

/** Rules of a single value, wherever it was read. */
export function examineGeneration(evidence: Evidence, value: Reading, name: string): value is bigint {
  evidence.expect(
    'generation.exception',
    !isFault(value),
    () => `${name}: expected a value, got ${shown(value)}`,
  );
  if (isFault(value)) return false;
  evidence.expect(
    'generation.halves',
    low(value) !== 0n && value >> 32n !== 0n,
    () => `${name}: expected neither 32-bit half to be 0, got ${shown(value)}`,
  );
  return true;
}

/** Watches one machine. */
export class Watch {
  readonly #implementation: Implementation;
  readonly #machine: Pick<Machine, 'cpus'>;
  readonly #label: string;
  /** The value that was read last, on any CPU. */
  last: bigint | undefined;
  /** The saved value of a machine that was restored, which is nowhere right any more. */
  saved: bigint | undefined;

  constructor(implementation: Implementation, machine: Pick<Machine, 'cpus'>, label: string) {
    this.#implementation = implementation;
    this.#machine = machine;
    this.#label = label;
  }

  get #cpus(): readonly Cpu[] {
    return this.#machine.cpus;
  }

  #name(cpu: number): string {
    return `RDMSR ${hex(this.#implementation.generation!.msr)} on ${this.#label}, CPU ${cpu}`;
  }

  /** One read on one CPU; its own rules are examined. */
  async read(cpu: number): Promise<bigint | undefined> {
    const value = await this.#cpus[cpu]!.rdmsr(this.#implementation.generation!.msr);
    const good = examineGeneration(evidenceOf(this.#implementation), value, this.#name(cpu));
    return good ? value : undefined;
  }

  /** A row on the first CPU, which begins with `first`, then every other CPU between two reads of the first. */
  async start(first: Reading, quick: boolean): Promise<void> {
    const evidence = evidenceOf(this.#implementation);
    const row: Reading[] = [first];
    const { msr } = this.#implementation.generation!;
    for (let i = 0; i < GENERATION_READS + (quick ? MORE_READS : 0); i++)
      row.push(await this.#cpus[0]!.rdmsr(msr));
    const none = row.every(isFault);
    evidence.expect(
      'features.generation',
      !none,
      () => `${this.#name(0)}: expected the generation that is offered, got ${shown(row[0])} each time`,
    );
    if (none) return;
    for (const value of row) examineGeneration(evidence, value, this.#name(0));
    const values = row.filter((value) => !isFault(value));
    const changes = values.filter((value, i) => i > 0 && value !== values[i - 1]).length;
    const text = (): string =>
      `${this.#name(0)}: expected one value, got ${changes} changes in ${row.length} reads in a row`;
    evidence.expect('generation.same', 3 * changes < row.length, text);
    evidence.expect('generation.steady', changes === 0, text);
    this.last = values.at(-1);
    for (let cpu = 1; cpu < this.#cpus.length; cpu++)
      for (let i = 0; i < (quick ? GENERATION_READS : 4); i++) await this.#beside(cpu);
  }

  /** Another CPU's value, beside the first one's before and after it. */
  async #beside(cpu: number): Promise<void> {
    const before = await this.read(0);
    const there = await this.read(cpu);
    const after = await this.read(0);
    if (before === undefined || there === undefined || after === undefined) return;
    const evidence = evidenceOf(this.#implementation);
    evidence.expect(
      'generation.same',
      before !== after || there === before,
      () => `${this.#name(cpu)}: expected ${shown(before)} as on CPU 0, got ${shown(there)}`,
    );
    this.#steady(after, 'another CPU was read');
    this.last = after;
  }

  /** A hypervisor may renew the generation at any time, and should not: a change is noted. */
  #steady(now: bigint, cause: string): void {
    const evidence = evidenceOf(this.#implementation);
    const { last } = this;
    if (last !== undefined)
      evidence.expect(
        'generation.steady',
        now === last || evidence.has('generation.same'),
        () => `${this.#label} after ${cause}: expected ${shown(last)} as before, got ${shown(now)}`,
      );
  }

  /** Reads the first CPU of a machine that was restored: its generation is another one than the saved one. */
  async resume(saved: bigint | undefined): Promise<void> {
    this.saved = saved;
    this.last = await this.read(0);
  }

  /** Reads the first CPU, and notes a change. */
  async update(cause: string): Promise<bigint | undefined> {
    const now = await this.read(0);
    if (now !== undefined) {
      this.#steady(now, cause);
      this.last = now;
    }
    return this.last;
  }

  /** Reads every CPU: `cause` is the event since then, `rule` the one that a change breaks. */
  async check(cause: string, rule = 'generation.steady'): Promise<boolean> {
    const evidence = evidenceOf(this.#implementation);
    let kept = true;
    if (this.last === undefined) return kept;
    for (let cpu = 0; cpu < this.#cpus.length; cpu++) {
      const before: bigint = this.last;
      const now = await this.read(cpu);
      if (now === undefined) continue;
      const same = now === before || evidence.has('generation.same');
      const old = !same && now === this.saved && !evidence.has('generation.write-keeps');
      evidence.expect(
        old ? 'generation.restored' : rule,
        same,
        () => `${this.#name(cpu)} after ${cause}: expected ${shown(before)} as before, got ${shown(now)}`,
      );
      kept &&= same;
      this.last = now;
    }
    for (let cpu = 1; cpu < this.#cpus.length; cpu++) await this.#beside(cpu);
    return kept;
  }

  /** As `check`, for an event that can be repeated: a change breaks `rule` where it follows the event each time. */
  async checkEach(cause: string, rule: string, event: () => Promise<unknown>): Promise<void> {
    evidenceOf(this.#implementation).expect(rule, true, () => '');
    for (let turn = 1; turn < BELIEVED; turn++) {
      if (await this.check(cause)) return;
      await event();
    }
    await this.check(cause, rule);
  }
}
