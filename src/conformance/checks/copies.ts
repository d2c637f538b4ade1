/** The last stages: pauses, resets and migrations, machines beside this one, and every route by which a saved state comes back. */
import { encodePage, flawOf } from '../../spec/index.ts';
import { shown } from '../answers.ts';
import { evidenceOf, stage } from '../evidence.ts';
import { type Implementation, once } from '../implementation.ts';
import { Copy } from './copy.ts';
import { CopyPage, noPage, type SavedPage, usablePages } from './copy-page.ts';
import { pastOf } from './discovery.ts';
import { formsOf } from './inputs.ts';
import { renewOuter } from './outer.ts';
import { bytesOf } from './page-bytes.ts';
import { pageKept, prepare } from './prepare.ts';
import { privilegeStage } from './privilege.ts';
import { labelOf, setLabel, stillRandom, watchOf } from './reads.ts';
import { readRow, streamsOf } from './streams.ts';
import { Watch } from './watch.ts';

/** Generations by the route to their machine, in the order in which they were made. */
type Origin = 'start' | 'outer' | 'restore' | 'resume';
const generationsOf = once(
  async (): Promise<Record<Origin, bigint[]>> => ({ start: [], outer: [], restore: [], resume: [] }),
);

async function examine(
  copy: Copy,
  origin: Origin,
  saved: bigint | undefined,
  savedPage: SavedPage,
): Promise<void> {
  const { implementation } = copy;
  const page = copy.kind === 'copy' ? await CopyPage.read(copy, savedPage) : undefined;
  const value = await copy.generation(saved);
  if (value !== undefined) {
    await page?.compare(value, saved);
    (await generationsOf(implementation))[origin].push(value);
  }
  await copy.values();
  const watch = new Watch(implementation, copy.machine, copy.label);
  watch.last = value;
  if (copy.kind === 'copy') watch.saved = saved;
  if (implementation.generation !== undefined) await watch.check('random values were read');
  if (copy.kind === 'copy') await copy.leaves('discovery.restored');
  await copy.writes(saved, watch.last);
  if (implementation.generation !== undefined) await watch.check('its registers were written');
  await page?.kept(watch);
  await page?.writes(watch);
}

/** The guest's work between a save and a restore in place: none of it may be there afterwards. */
async function disturb(implementation: Implementation, turn: number, savedPage: SavedPage): Promise<void> {
  const { machine, rng } = implementation;
  for (const [cpu, asked] of machine.cpus.entries())
    if (rng !== undefined)
      await readRow(implementation, asked, { ...labelOf(implementation), cpu }, 1 + 2 * turn);
  const pages = await usablePages(implementation, savedPage);
  if (pages === undefined || turn === 0) return;
  const cpu = machine.cpus.at(-1)!;
  await pages.memory.write(pages.first, bytesOf(0x7374_616c_65n));
  await cpu.wrmsr(pages.msr, turn === 1 || pages.second === undefined ? 0n : encodePage(pages.second));
}

export const pauseStage = stage(privilegeStage, async (implementation) => {
  const { controls } = implementation;
  if (!controls.has('pause')) return;
  for (let i = 0; i < 2; i++) {
    await controls.pause();
    await watchOf(implementation)?.check('a pause', 'generation.pause');
    await stillRandom(implementation, 8);
    await pageKept(implementation, 'after a pause', 'page.holds');
  }
});

async function reset(implementation: Implementation): Promise<void> {
  const { controls } = implementation;
  if (!controls.has('reset')) return;
  await prepare(implementation, 'first');
  const machine = await controls.machine('reset');
  const label = { machine: 'the machine after a reset', kind: 'other' } as const;
  setLabel(implementation, label);
  const copy = new Copy(implementation, machine, label.machine, label.kind, 1);
  await noPage(copy, 'after its start');
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
  await prepare(implementation, 'first');
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
    await noPage(copy, 'after power-on');
    await examine(copy, 'start', first, 'disabled');
    await pageKept(implementation, 'after another machine was started', 'page.holds');
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
  if (savedPage === 'first') await pageKept(implementation, 'after a save', 'page.holds');
  const saved = await savedOf(implementation);
  await stillRandom(implementation, 1);
  for (const turn of turns) {
    if (how === 'restore') await disturb(implementation, turn, savedPage);
    const machine = await controls.machine(how);
    const label = how === 'restore' ? `restore ${turn + 1} in place` : `resumed copy ${turn + 1}`;
    if (how === 'restore') setLabel(implementation, { machine: label, kind: 'copy' });
    const copy = new Copy(implementation, machine, label, 'copy', turn, how === 'restore');
    await examine(copy, how, saved, savedPage);
    if (how === 'restore' && watch !== undefined) await watch.resume(saved);
  }
}

/** Each route is taken several times: a mistake may show only at the second or third. */
export const copiesStage = stage(pauseStage, async (implementation) => {
  const { controls } = implementation;
  const watch = watchOf(implementation);
  await pastOf(implementation);
  await watch?.check('every leaf was read');
  if (watch?.last !== undefined) (await generationsOf(implementation)).start.push(watch.last);
  await stillRandom(implementation);
  await migrate(implementation);
  (await generationsOf(implementation)).outer.push(...(await renewOuter(implementation)));
  await beside(implementation);
  await watch?.check('another machine was started');
  const saves = controls.has('save');
  await restored(implementation, 'restore', saves ? [0, 1] : [0, 1, 2], 'first');
  // More states, of a machine that was restored itself; without saves there is only the first one.
  if (saves) await restored(implementation, 'restore', [2], 'second');
  await reset(implementation);
  if (saves) await restored(implementation, 'restore', [3], 'disabled');
  await restored(implementation, 'resume', saves ? [0, 1] : [0, 1, 2], 'first');
  if (saves) await restored(implementation, 'resume', [2], 'disabled');
  fresh(implementation, await generationsOf(implementation));
});

/** All generations together, and those of one route: random values, and none that was served as one. */
function fresh(implementation: Implementation, by: Readonly<Record<Origin, readonly bigint[]>>): void {
  const all = Object.values(by).flat();
  independent(implementation, all);
  if (all.length < 2) return;
  const copies = [...by.restore, ...by.resume];
  const rows = [all, copies, by.start, by.restore, by.resume].filter((row) => row.length > 1);
  const flaw = rows.map((row) => flawOf(row)).find((found) => found !== undefined);
  evidenceOf(implementation).expect(
    'generation.fresh',
    flaw === undefined,
    () => `the generations of ${all.length} machines and copies: expected random values, got ${flaw?.text}`,
  );
}

/** No generation is a random value that was served, in none of the plain forms, nor made of the halves of two. */
function independent(implementation: Implementation, values: readonly bigint[]): void {
  const streams = streamsOf(implementation);
  for (const value of values) {
    const served = formsOf(value).find((form) => streams.has(form));
    evidenceOf(implementation).expect(
      'generation.independent',
      served === undefined && !streams.hasHalves(value),
      () =>
        `the generation ${shown(value)}: expected a value of its own, got one that the RNG returned` +
        (served === undefined ? ', half by half' : ` as ${shown(served)}`),
    );
  }
}
