/** The stages that write: guest input to the RNG, and values to the generation register, on every CPU. */
import { type Cpu, type Fault, hex } from '../../cpu.ts';
import { isFault, type Reading, shown } from '../answers.ts';
import { evidenceOf, stage } from '../evidence.ts';
import { type Implementation, isQuick, once } from '../implementation.ts';
import { ALL, formsOf, INPUTS, swapped, WRITTEN } from './inputs.ts';
import { rngStage, stillRandom, watchOf } from './reads.ts';
import { readRow } from './streams.ts';
import type { Watch } from './watch.ts';

/** Bits that are equal in 8 random values: half a bit is expected, 24 are no accident. */
const MAX_STUCK_BITS = 24;

interface Write {
  readonly cpu: number;
  readonly value: bigint;
  readonly fault: Fault | undefined;
  readonly before: Reading;
  readonly after: readonly Reading[];
}

/** Whether a write may be executed: draft 2 leaves it unspecified without bit 1. */
export const mayWrite = ({ draft, rng }: Implementation): boolean =>
  rng !== undefined && (draft !== 2 || rng.input);

async function write(
  implementation: Implementation,
  cpus: readonly Cpu[],
  cpu: number,
  value: bigint,
  reads: number,
): Promise<Write> {
  const msr = implementation.rng!.msr;
  const before = await cpus[cpu]!.rdmsr(msr);
  const fault = await cpus[cpu]!.wrmsr(msr, value);
  const row = (on: number, count: number): Promise<readonly Reading[]> =>
    readRow(
      implementation,
      cpus[on]!,
      { machine: 'the machine', kind: 'first', cpu: on, written: true },
      count,
    );
  const after = [...(await row(cpu, reads))];
  for (let other = 0; other < cpus.length; other++) if (other !== cpu) after.push(...(await row(other, 1)));
  return { cpu, value, fault, before, after };
}

/** Each of `INPUTS` on the first CPU, one of them three times; two of them on every other CPU. */
export const writesOf = once(async (implementation) => {
  const writes: Write[] = [];
  if (!mayWrite(implementation)) return writes;
  const { cpus } = implementation.machine;
  for (const value of [...INPUTS, INPUTS[2]!, INPUTS[2]!])
    writes.push(await write(implementation, cpus, 0, value, 8));
  for (let cpu = 1; cpu < cpus.length; cpu++)
    for (const value of [INPUTS[2]!, INPUTS[3]!])
      writes.push(await write(implementation, cpus, cpu, value, 4));
  return writes;
});

export const rngWriteStage = stage(rngStage, async (implementation) => {
  const { rng } = implementation;
  const evidence = evidenceOf(implementation);
  if (rng === undefined || evidence.has('msrs.rng') || evidence.has('features.rng')) return;
  const writes = await writesOf(implementation);
  for (const { cpu, value, fault } of writes) {
    const name = `WRMSR ${hex(rng.msr)} of ${shown(value)} on CPU ${cpu}`;
    if (rng.input) {
      const id = implementation.draft === 2 ? 'features.input' : 'rng.write';
      evidence.expect(id, fault === undefined, () => `${name}: expected no exception, got ${fault}`);
    } else evidence.expect('rng.refuse', fault === '#GP', () => `${name}: expected #GP, got ${shown(fault)}`);
  }
  followed(implementation, writes);
  await watchOf(implementation)?.check('guest input was written to the RNG');
});

/** Values that follow from a write: the same, a part of it, or a constant distance from it. */
function followed(implementation: Implementation, writes: readonly Write[]): void {
  const evidence = evidenceOf(implementation);
  const id = implementation.draft === 3 ? 'rng.lowered' : 'rng.echo';
  const name = `RDMSR ${hex(implementation.rng!.msr)}`;
  const lanes = new Set<bigint>();
  for (const { value, after } of writes) {
    const values = after.filter((read) => !isFault(read));
    const echo = values.find((read) => WRITTEN.has(read));
    evidence.expect(
      id,
      echo === undefined,
      () =>
        `${name}: expected nothing of the written values, got ${shown(echo)} after ${shown(WRITTEN.get(echo!))}`,
    );
    const parts = [value >> 32n, value & 0xffff_ffffn];
    const isPart = (read: bigint): boolean =>
      parts.includes(read >> 32n) || parts.includes(read & 0xffff_ffffn);
    if (formsOf(value).length > 0 && values.some(isPart)) lanes.add(value);
    const ones = values.reduce((all, read) => all & read, ALL);
    const zeros = values.reduce((all, read) => all & ~read, ALL);
    const stuck = (ones | zeros).toString(2).replaceAll('0', '').length;
    const lowered = implementation.draft === 3 ? 'rng.lowered' : 'rng.quality';
    const known = ['rng.width', 'rng.quality', 'msrs.secure'].some((flawed) => evidence.has(flawed));
    if (values.length >= 8 && new Set(values).size > 1 && !known)
      evidence.expect(
        lowered,
        stuck < MAX_STUCK_BITS,
        () =>
          `${name} after ${shown(value)} was written: expected random values, got ${stuck} bits that never change in ${values.length}`,
      );
  }
  evidence.expect(
    id,
    lanes.size < 2,
    () =>
      `${name}: expected nothing of the written values, got a half of ${[...lanes].map(shown).join(' and ')} after it`,
  );
  const distance = related(writes);
  evidence.expect(
    id,
    distance === undefined,
    () =>
      `${name}: expected nothing that follows from the written values, got values whose ${distance} is constant`,
  );
}

/** The distance that is constant between the written values and the first values after them. */
function related(writes: readonly Write[]): string | undefined {
  const rows = writes.filter(
    ({ after, before }) => typeof after[0] === 'bigint' && typeof before === 'bigint',
  );
  if (rows.length < 3 || new Set(rows.map(({ after }) => after[0])).size === 1) return undefined;
  const value = (row: Write): bigint => row.after[0] as bigint;
  const distances: Record<string, (row: Write) => bigint> = {
    'exclusive or with the written value': (row) => value(row) ^ row.value,
    'difference from the written value': (row) => BigInt.asUintN(64, value(row) - row.value),
    'exclusive or with the written value and the value before': (row) =>
      value(row) ^ row.value ^ (row.before as bigint),
    'difference from the written value and the value before': (row) =>
      BigInt.asUintN(64, value(row) - row.value - (row.before as bigint)),
  };
  return Object.keys(distances).find((name) => new Set(rows.map(distances[name]!)).size === 1);
}

/** Values other than the current one: near it, a half of it, and far from it. */
const OTHERS: readonly ((current: bigint) => bigint)[] = [
  (current) => current ^ 1n,
  (current) => current ^ (1n << 63n),
  (current) => current ^ (1n << 32n),
  (current) => BigInt.asUintN(32, current),
  (current) => (current >> 32n) << 32n,
  swapped,
  (current) => BigInt.asUintN(64, ~current),
  () => 0n,
  () => ALL,
  () => 0x0123_4567_89ab_cdefn,
];

/** Generations whose acknowledgement was written, by implementation: the first one of each is reported. */
const toldOf = once(async () => new Set<bigint>());

/** How often the generation may be renewed while its acknowledgement is written. */
const RENEWALS = 4;

class GenerationWrites {
  readonly #implementation: Implementation;
  readonly #watch: Watch;
  readonly #counts: boolean;

  constructor(implementation: Implementation, watch: Watch) {
    this.#implementation = implementation;
    this.#watch = watch;
    this.#counts = implementation.generation!.acknowledged && implementation.controls.has('acknowledgements');
  }

  /** WRMSR of the generation's register on one CPU, of a value that is made of the current one. */
  async write(cpu: number, make: (current: bigint) => bigint): Promise<void> {
    const { machine, controls } = this.#implementation;
    const { msr } = this.#implementation.generation!;
    const before = this.#counts ? await controls.acknowledgements() : 0;
    let current = this.#watch.last!;
    let value = make(current);
    let fault = await machine.cpus[cpu]!.wrmsr(msr, value);
    // Renewed meanwhile, it was another value by then.
    for (let turn = 0; turn < RENEWALS && value === current && fault !== undefined; turn++) {
      if ((await this.#watch.update('a WRMSR')) === current) break;
      current = value = this.#watch.last!;
      fault = await machine.cpus[cpu]!.wrmsr(msr, value);
    }
    const of = value === current ? 'its value' : 'another value';
    const name = `WRMSR ${hex(msr)} of ${of}, ${shown(value)}, on CPU ${cpu}`;
    this.#answered(value === current, fault, name);
    if (this.#counts && (value !== current || fault === undefined))
      await this.#reported(value, current, before, name);
    await this.#watch.checkEach(`a WRMSR of ${of}`, 'generation.write-keeps', async () => {
      const again = make(this.#watch.last!);
      if (again === this.#watch.last) (await toldOf(this.#implementation)).add(again);
      return machine.cpus[cpu]!.wrmsr(msr, again);
    });
  }

  #answered(current: boolean, fault: Fault | undefined, name: string): void {
    const evidence = evidenceOf(this.#implementation);
    const [id, right] = !this.#implementation.generation!.acknowledged
      ? (['generation.write', '#GP'] as const)
      : current
        ? (['acknowledgement.accepted', undefined] as const)
        : (['acknowledgement.other', '#GP'] as const);
    const expected = right ?? 'no exception';
    evidence.expect(id, fault === right, () => `${name}: expected ${expected}, got ${shown(fault)}`);
  }

  async #reported(value: bigint, current: bigint, before: number, name: string): Promise<void> {
    const told = await toldOf(this.#implementation);
    const reported = (await this.#implementation.controls.acknowledgements()) - before;
    const first = value === current && !told.has(value);
    if (value === current) told.add(value);
    evidenceOf(this.#implementation).expect(
      first ? 'acknowledgement.report' : 'acknowledgement.repeated',
      reported === (first ? 1 : 0),
      () => `${name}: expected ${first ? 'one report' : 'no report'} to the owner, got ${reported}`,
    );
  }
}

export const generationWriteStage = stage(rngWriteStage, async (implementation) => {
  const watch = watchOf(implementation);
  if (watch?.last === undefined) return;
  const writes = new GenerationWrites(implementation, watch);
  const quick = await isQuick(implementation);
  for (let cpu = 0; cpu < implementation.machine.cpus.length; cpu++) {
    for (const other of OTHERS.slice(0, cpu === 0 || quick ? OTHERS.length : 3))
      await writes.write(cpu, (current) => {
        const value = other(current);
        return value === current ? current ^ 4n : value;
      });
    for (let i = 0; i < 2; i++) await writes.write(cpu, (current) => current);
    await writes.write(cpu, (current) => current ^ 2n);
  }
  await stillRandom(implementation);
});
