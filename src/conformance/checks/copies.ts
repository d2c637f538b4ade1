/** The last stages: pauses, resets and migrations, machines beside this one, and every route by which a saved state comes back. */
import { hex } from '../../cpu.ts';
import { encodePage, flawOf, PAGE_SIZE } from '../../spec/index.ts';
import { isFault, type Reading, shown } from '../answers.ts';
import { evidenceOf, stage } from '../evidence.ts';
import { type Implementation, once } from '../implementation.ts';
import type { Machine } from '../machine.ts';
import { changedLeaf } from './discovery.ts';
import { bytesOf, comparePage, OWN, pagesOf } from './page.ts';
import { privilegeStage } from './privilege.ts';
import { watchOf } from './reads.ts';
import { type Place, readRow, streamsOf } from './streams.ts';
import { examineGeneration, Watch } from './watch.ts';
import { mayWrite } from './writes.ts';

/** Each route is taken so often: a mistake may show only at the second or third time. */
const TIMES = 3;
/** Values of a copy's first CPU: streams that overlap by less than this are found. */
const COPY_VALUES = 64;
/** Written beside the page, to see whether a state was saved after the page was enabled. */
const MARK = 0x6d61_726b_6564_2121n;
/** Written to the RNG of every copy: the values after it have to differ. */
const COPY_INPUT = 0x1122_3344_5566_7788n;

type Kind = Place['kind'];

/** One machine that a control gave back, examined from its first read on. */
class Copy {
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

/** Generations of all machines, in the order in which they were made. */
const generationsOf = once(async (): Promise<bigint[]> => []);

async function examine(copy: Copy, saved: bigint | undefined): Promise<void> {
  const { implementation } = copy;
  const page = await copy.page();
  const value = await copy.generation(saved);
  await page?.(value);
  if (value !== undefined) (await generationsOf(implementation)).push(value);
  await copy.values();
  const watch = new Watch(implementation, copy.machine, copy.label);
  watch.last = value;
  if (implementation.generation !== undefined) await watch.check('random values were read');
  if (copy.kind === 'copy') {
    await copy.leaves('discovery.restored');
    await copy.writes(saved, value);
  }
}

/** Enables the page, and marks the memory beside it: the state that is saved next has both. */
async function prepare(implementation: Implementation): Promise<void> {
  const pages = await pagesOf(implementation);
  const evidence = evidenceOf(implementation);
  if (implementation.page === undefined || pages === undefined || evidence.has('page.enable')) return;
  const { memory, first, second } = pages;
  await implementation.machine.cpus[0].wrmsr(implementation.page.msr, encodePage(first));
  await memory.write(first + 8, bytesOf(OWN));
  if (second !== undefined) await memory.write(second, bytesOf(MARK));
}

/** What the guest does between a save and a restore in place: none of it may be there afterwards. */
async function disturb(implementation: Implementation, turn: number): Promise<void> {
  const { machine, rng, page } = implementation;
  const place =
    turn === 0
      ? ({ machine: 'the machine', kind: 'first' } as const)
      : ({ machine: `restore ${turn} in place`, kind: 'copy' } as const);
  for (const [cpu, asked] of machine.cpus.entries())
    if (rng !== undefined) await readRow(implementation, asked, { ...place, cpu }, 1 + 2 * turn);
  const pages = await pagesOf(implementation);
  if (page === undefined || pages === undefined || turn === 0) return;
  const cpu = machine.cpus.at(-1)!;
  await pages.memory.write(pages.first, bytesOf(0x7374_616c_65n));
  await cpu.wrmsr(page.msr, turn === 1 || pages.second === undefined ? 0n : encodePage(pages.second));
}

export const pauseStage = stage(privilegeStage, async (implementation) => {
  const { controls, machine, rng } = implementation;
  if (!controls.has('pause')) return;
  for (let i = 0; i < 2; i++) {
    await controls.pause();
    await watchOf(implementation)?.check('a pause', 'generation.pause');
    for (const [cpu, asked] of machine.cpus.entries())
      if (rng !== undefined)
        await readRow(implementation, asked, { machine: 'the machine', kind: 'first', cpu }, 8);
  }
});

async function moved(implementation: Implementation, name: 'reset' | 'migrate'): Promise<void> {
  if (!implementation.controls.has(name)) return;
  const machine = await implementation.controls.machine(name);
  const [label, kind, rule] =
    name === 'reset'
      ? (['the machine after a reset', 'other', 'generation.pause'] as const)
      : (['the machine after a migration', 'copy', 'generation.migration'] as const);
  if (name === 'reset' && implementation.page !== undefined)
    for (const cpu of machine.cpus) {
      const value = await cpu.rdmsr(implementation.page.msr);
      evidenceOf(implementation).expect(
        'page.zero',
        value === 0n || isFault(value),
        () => `RDMSR ${hex(implementation.page!.msr)} after a reset: expected 0, got ${shown(value)}`,
      );
    }
  await watchOf(implementation)?.check(`a ${name === 'reset' ? 'reset' : 'migration'}`, rule);
  const copy = new Copy(implementation, machine, label, kind, 1);
  await copy.leaves('discovery.restored');
  await copy.values();
}

export const copiesStage = stage(pauseStage, async (implementation) => {
  const { controls } = implementation;
  const evidence = evidenceOf(implementation);
  const watch = watchOf(implementation);
  if (watch?.last !== undefined) (await generationsOf(implementation)).push(watch.last);
  await moved(implementation, 'reset');
  await moved(implementation, 'migrate');
  for (let turn = 0; turn < 2 && controls.has('another'); turn++) {
    const machine = await controls.machine('another');
    await examine(
      new Copy(implementation, machine, `another machine, ${turn + 1}`, 'other', turn),
      undefined,
    );
    await powerOn(implementation, machine);
  }
  await watch?.check('another machine was started');
  await prepare(implementation);
  if (controls.has('restore') || controls.has('resume')) await controls.save();
  const saved = watch?.last;
  for (const how of ['restore', 'resume'] as const) {
    for (let turn = 0; turn < TIMES && controls.has(how); turn++) {
      if (how === 'restore') await disturb(implementation, turn);
      const machine = await controls.machine(how);
      const label = how === 'restore' ? `restore ${turn + 1} in place` : `resumed copy ${turn + 1}`;
      await examine(new Copy(implementation, machine, label, 'copy', turn), saved);
    }
  }
  const values = await generationsOf(implementation);
  independent(implementation, values);
  if (values.length < 2) return;
  const flaw = flawOf(values);
  evidence.expect(
    'generation.fresh',
    flaw === undefined,
    () =>
      `the generations of ${values.length} machines and copies: expected random values, got ${flaw?.text}`,
  );
});

/** A machine that was started from nothing has no page yet. */
async function powerOn(implementation: Implementation, { cpus }: Machine): Promise<void> {
  const { page } = implementation;
  if (page === undefined) return;
  const value = await cpus[0].rdmsr(page.msr);
  evidenceOf(implementation).expect(
    'page.zero',
    value === 0n || isFault(value),
    () => `RDMSR ${hex(page.msr)} on another machine after power-on: expected 0, got ${shown(value)}`,
  );
}

/** No generation is a random value that was served, in none of the plain forms. */
function independent(implementation: Implementation, values: readonly bigint[]): void {
  const streams = streamsOf(implementation);
  for (const value of values) {
    const swapped = BigInt.asUintN(64, (value << 32n) | (value >> 32n));
    const served = [value, BigInt.asUintN(64, ~value), swapped].find((form) => streams.has(form));
    evidenceOf(implementation).expect(
      'generation.independent',
      served === undefined,
      () =>
        `the generation ${shown(value)}: expected a value of its own, got one that the RNG returned as ${shown(served)}`,
    );
  }
}
