/** The last stages: pauses, resets and migrations, machines beside this one, and every route by which a saved state comes back. */
import { hex } from '../../cpu.ts';
import { encodePage, flawOf } from '../../spec/index.ts';
import { isFault, shown } from '../answers.ts';
import { evidenceOf, stage } from '../evidence.ts';
import { type Implementation, once } from '../implementation.ts';
import type { Machine } from '../machine.ts';
import { Copy, MARK } from './copy.ts';
import { bytesOf, OWN, pagesOf } from './page.ts';
import { privilegeStage } from './privilege.ts';
import { watchOf } from './reads.ts';
import { readRow, streamsOf } from './streams.ts';
import { Watch } from './watch.ts';

/** Each route is taken so often: a mistake may show only at the second or third time. */
const TIMES = 3;

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

/** The guest's work between a save and a restore in place: none of it may be there afterwards. */
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
