/** The stages that write: guest input to the RNG, and values to the generation register, on every CPU. */
import { type Cpu, type Fault, hex } from '../../cpu.ts';
import { type Reading, shown } from '../answers.ts';
import { evidenceOf, stage } from '../evidence.ts';
import { type Implementation, isQuick, once } from '../implementation.ts';
import { type Reports, reportsOf, toldOf } from './acknowledgements.ts';
import { followed, type Write } from './followed.ts';
import { ALL, INPUTS, swapped } from './inputs.ts';
import { rngStage, stillRandom, watchOf } from './reads.ts';
import { readRow } from './streams.ts';
import type { Watch } from './watch.ts';

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

/** Each of `INPUTS` on the first CPU, one of them three times; two of them on every other CPU, and the first of the two again. */
export const writesOf = once(async (implementation) => {
  const writes: Write[] = [];
  if (!mayWrite(implementation)) return writes;
  const { cpus } = implementation.machine;
  for (const value of [...INPUTS, INPUTS[2]!, INPUTS[2]!])
    writes.push(await write(implementation, cpus, 0, value, 8));
  for (let cpu = 1; cpu < cpus.length; cpu++)
    for (const value of [INPUTS[2]!, INPUTS[3]!, INPUTS[2]!])
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

/** How often the generation may be renewed while its acknowledgement is written. */
const RENEWALS = 4;

class GenerationWrites {
  readonly #implementation: Implementation;
  readonly #watch: Watch;
  readonly #reports: Reports | undefined;

  constructor(implementation: Implementation, watch: Watch, reports: Reports | undefined) {
    this.#implementation = implementation;
    this.#watch = watch;
    this.#reports = reports;
  }

  /** WRMSR of the generation's register on one CPU, of a value that is made of the current one. */
  async write(cpu: number, make: (current: bigint) => bigint): Promise<void> {
    const { machine } = this.#implementation;
    const { msr } = this.#implementation.generation!;
    await this.#reports?.before();
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
    if (value !== current || fault === undefined) await this.#reports?.after(value, current, name);
    else this.#reports?.forget();
    await this.#watch.checkEach(`a WRMSR of ${of}`, 'generation.write-keeps', async () => {
      const again = make(this.#watch.last!);
      if (again === this.#watch.last) (await toldOf(this.#implementation)).add(again);
      this.#reports?.forget();
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
}

export const generationWriteStage = stage(rngWriteStage, async (implementation) => {
  const watch = watchOf(implementation);
  if (watch?.last === undefined) return;
  const reports = await reportsOf(implementation);
  const writes = new GenerationWrites(implementation, watch, reports);
  const quick = await isQuick(implementation);
  for (let cpu = 0; cpu < implementation.machine.cpus.length; cpu++) {
    for (const other of OTHERS.slice(0, cpu === 0 || quick ? OTHERS.length : 3))
      await writes.write(cpu, (current) => {
        const value = other(current);
        return value === current ? current ^ 4n : value;
      });
    for (let bit = 0n; bit < 64n && cpu === 0 && quick; bit++)
      await writes.write(cpu, (current) => current ^ (1n << bit));
    for (let i = 0; i < 2; i++) await writes.write(cpu, (current) => current);
    await writes.write(cpu, (current) => current ^ 2n);
  }
  await stillRandom(implementation);
});
