/** The first stages: the MSRs beside the advertised ones, the generation and the random values, on every CPU. */
import { hex } from '../../cpu.ts';
import { isFault, isU32, type Reading, shown } from '../answers.ts';
import { evidenceOf, stage } from '../evidence.ts';
import { type Implementation, isQuick, once } from '../implementation.ts';
import { type Finding, failed, passed, skipped } from '../rule.ts';
import { reportsOf } from './acknowledgements.ts';
import { moreValues, type Place, readRow, VALUE_COUNT } from './streams.ts';
import { Watch } from './watch.ts';

const NOT_PROBED = 'no MSR is read that nobody advertised (--probe-msrs)';

/** The answers of the adjacent MSRs before the advertised ones were asked; none unless the caller allows it. */
const adjacentMsrsOf = once(async ({ rng, generation, page, rdmsr, probeMsrs }) => {
  const answers = new Map<number, Reading>();
  if (!probeMsrs) return answers;
  const own = [rng?.msr, generation?.msr, page?.msr].filter((msr) => msr !== undefined);
  const near = own.flatMap((msr) => [msr - 1, msr + 1]).filter((msr) => isU32(msr) && !own.includes(msr));
  for (const msr of near) answers.set(msr, await rdmsr(msr));
  return answers;
});

const watches = new WeakMap<Implementation, Watch>();

/** Watches the generation of the machine that `verify` was given. */
export function watchOf(implementation: Implementation): Watch | undefined {
  if (implementation.generation === undefined) return undefined;
  const watch =
    watches.get(implementation) ?? new Watch(implementation, implementation.machine, 'the machine');
  watches.set(implementation, watch);
  return watch;
}

export const generationStage = stage(undefined, async (implementation) => {
  await adjacentMsrsOf(implementation);
  await reportsOf(implementation);
  const { generation, rdmsr } = implementation;
  if (generation === undefined) return;
  const first = await rdmsr(generation.msr);
  const stray = await strayOf(implementation, generation.msr, first, (a, b) => a === b && a !== 0n);
  const evidence = evidenceOf(implementation);
  evidence.expect(
    'msrs.generation',
    stray === undefined,
    () =>
      `RDMSR ${hex(generation.msr)}: expected the generation at the index that is advertised, found a value at ${hex(stray!)}`,
  );
  if (stray === undefined) await watchOf(implementation)!.start(first, await isQuick(implementation));
});

export const rngStage = stage(generationStage, async (implementation) => {
  const { rng, machine, rdmsr } = implementation;
  if (rng === undefined) return;
  const evidence = evidenceOf(implementation);
  const first = await rdmsr(rng.msr);
  const stray = await strayOf(implementation, rng.msr, first, (a, b) => a !== b);
  const id = implementation.draft === 3 ? 'msrs.rng' : 'features.rng';
  evidence.expect(
    id,
    stray === undefined,
    () =>
      `RDMSR ${hex(rng.msr)}: expected the RNG at the index that is advertised, found values that differ at ${hex(stray!)}`,
  );
  if (stray !== undefined) return;
  for (const [cpu, asked] of machine.cpus.entries()) {
    const place = { machine: 'the machine', kind: 'first', cpu } as const;
    const count = VALUE_COUNT >> (cpu === 0 ? 0 : 1);
    await readRow(implementation, asked, place, count, cpu === 0 ? [first] : []);
    // A generator may fail, repeat itself or stand still later on; bias shows in many values alone.
    if (await isQuick(implementation))
      await readRow(implementation, asked, place, moreValues(implementation, cpu));
  }
  // CPUs in turns: a generator of its own for each may show only so.
  for (let i = 0; i < 4 && machine.cpus.length > 1; i++) await stillRandom(implementation, 1);
  await watchOf(implementation)?.check('the RNG was read');
});

/** The first machine as a report calls it: another one once a state was restored into it. */
const labels = new WeakMap<Implementation, Pick<Place, 'machine' | 'kind'>>();
export const labelOf = (implementation: Implementation): Pick<Place, 'machine' | 'kind'> =>
  labels.get(implementation) ?? { machine: 'the machine', kind: 'first' };
export const setLabel = (implementation: Implementation, label: Pick<Place, 'machine' | 'kind'>): void => {
  labels.set(implementation, label);
};

/** Reads each CPU of the first machine again, after something else was asked of it. */
export async function stillRandom(implementation: Implementation, count = 4): Promise<void> {
  const { rng, machine } = implementation;
  const evidence = evidenceOf(implementation);
  if (rng === undefined || evidence.has('features.rng') || evidence.has('msrs.rng')) return;
  for (const [cpu, asked] of machine.cpus.entries())
    await readRow(implementation, asked, { ...labelOf(implementation), cpu }, count);
}

/** The adjacent index that answers as the register should, where the advertised one answers as an absent MSR does. */
async function strayOf(
  implementation: Implementation,
  msr: number,
  first: Reading,
  alive: (first: bigint, second: bigint) => boolean,
): Promise<number | undefined> {
  if (!isFault(first) && first !== 0n) return undefined;
  const adjacent = await adjacentMsrsOf(implementation);
  for (const near of [msr - 1, msr + 1].filter((index) => adjacent.has(index))) {
    const [before, now] = [adjacent.get(near)!, await implementation.rdmsr(near)];
    if (!isFault(before) && !isFault(now) && alive(before, now)) return near;
  }
  return undefined;
}

/** The MSRs beside the advertised ones: reads and writes of those must not show in them. */
export async function adjacentMsrsKept(implementation: Implementation): Promise<Finding> {
  if (!implementation.probeMsrs) return skipped(NOT_PROBED);
  const adjacent = await adjacentMsrsOf(implementation);
  if (adjacent.size === 0) return skipped('no register is offered');
  if (['msrs.rng', 'msrs.generation', 'features.rng'].some((id) => evidenceOf(implementation).has(id)))
    return skipped('a wrong index: see msrs.rng, msrs.generation and features.rng');
  for (const [msr, before] of adjacent) {
    const now = await implementation.rdmsr(msr);
    if (now !== before)
      return failed(`RDMSR ${hex(msr)}, an adjacent MSR: was ${shown(before)}, is ${shown(now)}`);
  }
  return passed();
}
