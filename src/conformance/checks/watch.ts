/** The generation, watched on every CPU from the first read to the last. */
import { type Cpu, hex } from '../../cpu.ts';
import { isFault, type Reading, shown } from '../answers.ts';
import { type Evidence, evidenceOf } from '../evidence.ts';
import type { Implementation } from '../implementation.ts';
import type { Machine } from '../machine.ts';

/** Reads in a row: a value that changes twice within them is no value of a machine. */
export const GENERATION_READS = 33;

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

  /** A row on the first CPU, then every other CPU between two reads of the first. */
  async start(): Promise<void> {
    const evidence = evidenceOf(this.#implementation);
    const row: Reading[] = [];
    const { msr } = this.#implementation.generation!;
    for (let i = 0; i < GENERATION_READS; i++) row.push(await this.#cpus[0]!.rdmsr(msr));
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
    evidence.expect(
      'generation.same',
      changes < 2,
      () => `${this.#name(0)}: expected one value, got ${changes} changes in ${row.length} reads in a row`,
    );
    evidence.expect(
      'generation.steady',
      changes !== 1,
      () => `${this.#name(0)}: expected one value, got another in ${row.length} reads in a row`,
    );
    this.last = values.at(-1);
    for (let cpu = 1; cpu < this.#cpus.length; cpu++) for (let i = 0; i < 4; i++) await this.#beside(cpu);
  }

  /** Another CPU's value, beside the first one's before and after it. */
  async #beside(cpu: number): Promise<void> {
    const before = await this.read(0);
    const there = await this.read(cpu);
    const after = await this.read(0);
    if (before === undefined || there === undefined || after === undefined) return;
    evidenceOf(this.#implementation).expect(
      'generation.same',
      before !== after || there === before,
      () => `${this.#name(cpu)}: expected ${shown(before)} as on CPU 0, got ${shown(there)}`,
    );
    this.last = after;
  }

  /** Reads every CPU: `cause` is the event since then, `rule` the one that a change breaks. */
  async check(cause: string, rule = 'generation.steady'): Promise<void> {
    const evidence = evidenceOf(this.#implementation);
    if (this.last === undefined) return;
    for (let cpu = 0; cpu < this.#cpus.length; cpu++) {
      const before = this.last;
      const now = await this.read(cpu);
      if (now === undefined) continue;
      const same = now === before || evidence.has('generation.same');
      evidence.expect(
        rule,
        same,
        () => `${this.#name(cpu)} after ${cause}: expected ${shown(before)} as before, got ${shown(now)}`,
      );
      this.last = now;
    }
    for (let cpu = 1; cpu < this.#cpus.length; cpu++) await this.#beside(cpu);
  }
}
