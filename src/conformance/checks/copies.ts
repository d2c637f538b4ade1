/** The last stages: pauses, resets and migrations, machines beside this one, and every route by which a saved state comes back. */
import { encodePage, flawOf } from '../../spec/index.ts';
import { shown } from '../answers.ts';
import { evidenceOf, stage } from '../evidence.ts';
import { type Implementation, once } from '../implementation.ts';
import { Copy, type SavedPage } from './copy.ts';
import { renewOuter } from './outer.ts';
import { bytesOf, pagesOf } from './page.ts';
import { pageKept, prepare } from './prepare.ts';
import { privilegeStage } from './privilege.ts';
import { stillRandom, watchOf } from './reads.ts';
import { readRow, streamsOf } from './streams.ts';
import { Watch } from './watch.ts';

/** Each route is taken so often: a mistake may show only at the second or third time. */
const TIMES = 3;

/** Generations of all machines, in the order in which they were made, and those of copies. */
const generationsOf = once(
  async (): Promise<Record<'all' | 'copies', bigint[]>> => ({ all: [], copies: [] }),
);

async function examine(copy: Copy, saved: bigint | undefined, savedPage: SavedPage): Promise<void> {
  const { implementation } = copy;
  const page = copy.kind === 'copy' ? await copy.page(savedPage) : undefined;
  const value = await copy.generation(saved);
  if (value !== undefined) {
    await page?.(value, saved);
    const generations = await generationsOf(implementation);
    generations.all.push(value);
    if (copy.kind === 'copy') generations.copies.push(value);
  }
  await copy.values();
  const watch = new Watch(implementation, copy.machine, copy.label);
  watch.last = value;
  if (implementation.generation !== undefined) await watch.check('random values were read');
  if (copy.kind === 'copy') await copy.leaves('discovery.restored');
  await copy.writes(saved, watch.last);
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
  const { controls } = implementation;
  if (!controls.has('pause')) return;
  for (let i = 0; i < 2; i++) {
    await controls.pause();
    await watchOf(implementation)?.check('a pause', 'generation.pause');
    await stillRandom(implementation, 8);
  }
});

async function reset(implementation: Implementation): Promise<void> {
  const { controls } = implementation;
  if (!controls.has('reset')) return;
  await prepare(implementation, 'enabled');
  const machine = await controls.machine('reset');
  const copy = new Copy(implementation, machine, 'the machine after a reset', 'other', 1);
  await copy.noPage('after a reset');
  const watch = watchOf(implementation);
  await watch?.check('a reset', 'generation.pause');
  await copy.leaves('discovery.restored');
  await copy.values();
  await copy.writes(undefined, watch?.last);
}

async function migrate(implementation: Implementation): Promise<void> {
  const { controls } = implementation;
  if (!controls.has('migrate')) return;
  const label = 'the machine after a migration';
  const watch = watchOf(implementation);
  await prepare(implementation, 'enabled');
  const machine = await controls.machine('migrate');
  await watch?.checkEach('a migration', 'generation.migration', () => controls.machine('migrate'));
  await pageKept(implementation, `on ${label}`, 'page.holds');
  const copy = new Copy(implementation, machine, label, 'copy', 1);
  await copy.leaves('discovery.restored');
  await copy.values();
  await copy.writes(undefined, watch?.last);
}

async function beside(implementation: Implementation): Promise<void> {
  const { controls } = implementation;
  const first = watchOf(implementation)?.last;
  for (let turn = 0; turn < 2 && controls.has('another'); turn++) {
    const machine = await controls.machine('another');
    const copy = new Copy(implementation, machine, `another machine, ${turn + 1}`, 'other', turn);
    await copy.noPage('after power-on');
    await examine(copy, first, 'disabled');
  }
}

/** The generation of the state that is restored: without a save there is only the first state. */
async function savedOf(implementation: Implementation): Promise<bigint | undefined> {
  const kept = await firstSaved(implementation);
  if (kept.value === undefined || implementation.controls.has('save'))
    kept.value = watchOf(implementation)?.last;
  return kept.value;
}
const firstSaved = once(async (): Promise<{ value: bigint | undefined }> => ({ value: undefined }));

/** Restores a saved state in place, or makes machines of it, several times. */
async function restored(
  implementation: Implementation,
  how: 'restore' | 'resume',
  turns: readonly number[],
  savedPage: SavedPage,
): Promise<void> {
  const { controls } = implementation;
  if (!controls.has(how)) return;
  const watch = watchOf(implementation);
  await prepare(implementation, savedPage);
  await controls.save();
  // A hypervisor that renews the generation at a save: the copies have to differ from the machine that goes on, too.
  await watch?.check('a save');
  const saved = await savedOf(implementation);
  await stillRandom(implementation, 1);
  for (const turn of turns) {
    if (how === 'restore') await disturb(implementation, turn);
    const machine = await controls.machine(how);
    const label = how === 'restore' ? `restore ${turn + 1} in place` : `resumed copy ${turn + 1}`;
    await examine(new Copy(implementation, machine, label, 'copy', turn), saved, savedPage);
    if (how === 'restore' && watch !== undefined) await watch.resume();
  }
}

export const copiesStage = stage(pauseStage, async (implementation) => {
  const { controls } = implementation;
  const watch = watchOf(implementation);
  await watch?.check('every leaf was read');
  if (watch?.last !== undefined) (await generationsOf(implementation)).all.push(watch.last);
  await stillRandom(implementation);
  await reset(implementation);
  await migrate(implementation);
  (await generationsOf(implementation)).all.push(...(await renewOuter(implementation)));
  await beside(implementation);
  await watch?.check('another machine was started');
  const turns = Array.from({ length: TIMES }, (_, turn) => turn);
  await restored(implementation, 'restore', turns, 'enabled');
  // A second state, of a machine that was restored itself; without saves there is only the first one.
  if (controls.has('save')) await restored(implementation, 'restore', [TIMES], 'disabled');
  await restored(implementation, 'resume', turns, 'enabled');
  fresh(implementation, await generationsOf(implementation));
});

/** All generations together: random values, and none that was served as one. */
function fresh(
  implementation: Implementation,
  { all: values, copies }: Readonly<Record<'all' | 'copies', readonly bigint[]>>,
): void {
  independent(implementation, values);
  if (values.length < 2) return;
  const flaw = flawOf(values) ?? (copies.length > 1 ? flawOf(copies) : undefined);
  evidenceOf(implementation).expect(
    'generation.fresh',
    flaw === undefined,
    () =>
      `the generations of ${values.length} machines and copies: expected random values, got ${flaw?.text}`,
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
