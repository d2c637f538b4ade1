/** Checks of "The generation", and of what has to hold when a machine comes back from a saved state. */
import { type Fault, hex } from '../../cpu.ts';
import { type Finding, failed, passed, skipped } from '../rule.ts';
import { isFault, type Subject } from '../subject.ts';
import { changedLeaf, constantLeaves } from './discovery.ts';
import { generationValues, type Revival, revivals } from './samples.ts';
import { strayGeneration } from './stray.ts';

interface Generation {
  readonly msr: number;
  /** What the first read gave. */
  readonly value: bigint | Fault;
}
type Check = (subject: Subject) => Promise<Finding> | Finding;

function withGeneration(
  check: (subject: Subject, generation: Generation) => Promise<Finding> | Finding,
): Check {
  return async (subject) => {
    const [value] = await generationValues(subject);
    if (subject.generation === undefined || value === undefined)
      return skipped('no generation is offered, or none that can be found');
    return check(subject, { ...subject.generation, value });
  };
}

const shown = (value: bigint | Fault): string => (isFault(value) ? value : hex(value, 16));
const revived = revivals(changedLeaf);

export const neverRaises = withGeneration(async (subject, { msr }) => {
  const values = await generationValues(subject);
  if (values.every(isFault)) return skipped('nothing is there: see features.generation');
  const at = values.findIndex(isFault);
  if (at < 0) return passed(`${values.length} reads`);
  return failed(
    `RDMSR ${hex(msr)}: expected a value, got ${String(values[at])} at read ${at + 1} of ${values.length}`,
  );
});

/** One value, from the first read to the last, on every virtual CPU. */
export const same = withGeneration(async (subject, { msr, value }) => {
  const values = [...(await generationValues(subject)), await subject.rdmsr(msr)];
  if (values.some(isFault)) return skipped('RDMSR raises exceptions: see generation.exception');
  const other = values.find((v) => v !== value);
  if (other !== undefined)
    return failed(`RDMSR ${hex(msr)}: expected ${shown(value)} each time, got ${shown(other)}`);
  for (const [i, cpu] of (subject.deeds.others ?? []).entries()) {
    const there = await subject.check(cpu).rdmsr(msr);
    if (there !== value)
      return failed(
        `RDMSR ${hex(msr)}: expected ${shown(value)} on every vCPU, got ${shown(there)} on vCPU ${i + 1}`,
      );
  }
  return passed(shown(value));
});

/** What it holds is written back, so that a hypervisor that wrongly takes it changes nothing. */
export const writeRaises = withGeneration(async (subject, { msr, value }) => {
  const fault = await subject.wrmsr(msr, isFault(value) ? 0n : value);
  return fault === '#GP'
    ? passed()
    : failed(`WRMSR ${hex(msr)}: expected #GP, got ${fault ?? 'no exception'}`);
});

export const pauseKeeps = withGeneration(async (subject, { msr }) => {
  if (subject.deeds.pause === undefined) return skipped('this way to the machine cannot pause it');
  const [first, second] = [await subject.rdmsr(msr), await subject.rdmsr(msr)];
  if (first !== second || isFault(first)) return skipped('it is no constant value: see generation.same');
  await subject.deeds.pause();
  const after = await subject.rdmsr(msr);
  if (isFault(after)) return skipped('RDMSR raises exceptions: see generation.exception');
  if (after === first) return passed();
  return failed(`RDMSR ${hex(msr)} after a pause: expected ${shown(first)} as before, got ${shown(after)}`);
});

/** New with each restore, there at the first read, and the same from then on. */
export const restoreRenews = withGeneration(async (subject, { msr, value }) => {
  const { restore, resume } = subject.deeds;
  if (restore === undefined && resume === undefined)
    return skipped('this way to the machine cannot restore it');
  if (isFault(value)) return skipped('RDMSR raises exceptions: see generation.exception');
  if ((await strayGeneration(subject)) !== undefined)
    return skipped('a wrong index: see registers.generation');
  const steady = new Set(await generationValues(subject)).size === 1;
  const before = new Map<bigint | Fault, string>([[value, 'before']]);
  for (const revival of await revived(subject)) {
    const [first, ...rest] = revival.generation;
    if (first === undefined || isFault(first))
      return failed(`RDMSR ${hex(msr)} ${after(revival)}: expected a new value, got ${first ?? 'nothing'}`);
    const earlier = before.get(first);
    if (earlier !== undefined)
      return failed(
        `RDMSR ${hex(msr)} ${after(revival)}: expected a new value, got ${shown(first)} as ${earlier}`,
      );
    // A value that never stays is another rule's affair; one that comes late, after the first read, is this one's.
    const late = rest.find((v) => v !== first);
    if (late !== undefined && steady)
      return failed(
        `RDMSR ${hex(msr)} ${after(revival)}: expected ${shown(first)} to stay, got ${shown(late)}`,
      );
    before.set(first, after(revival));
  }
  return passed(`${before.size} values, all different`);
});

function after({ how }: Revival): string {
  return how === 'restore' ? 'after a restore in place' : 'after a resume as a new machine';
}

/** Draft 3: leaves stay the same, "restores of its state included". */
export const restoreKeepsLeaves: Check = async (subject) => {
  const { restore, resume } = subject.deeds;
  if (restore === undefined && resume === undefined)
    return skipped('this way to the machine cannot restore it');
  if ((await constantLeaves(subject)).outcome === 'failed')
    return skipped('not constant: see discovery.constant');
  const changed = (await revived(subject)).find((revival) => revival.changed !== undefined);
  return changed === undefined ? passed() : failed(`${after(changed)}, ${changed.changed}`);
};

/** Copies of one saved state must not read the same words: their state was not saved with them. */
export const copiesDiffer: Check = async (subject) => {
  const { restore, resume } = subject.deeds;
  if (restore === undefined && resume === undefined)
    return skipped('this way to the machine cannot restore it');
  if (subject.rng === undefined) return skipped('no RNG is offered, or none that can be found');
  const seen = new Map<string, Revival>();
  for (const revival of await revived(subject)) {
    if (revival.words.some(isFault) || new Set(revival.words).size < 2) continue;
    const words = revival.words.map(shown).join(' ');
    const twin = seen.get(words);
    if (twin !== undefined)
      return failed(`two copies of one saved state (${after(twin)}, ${after(revival)}): both read ${words}`);
    seen.set(words, revival);
  }
  return seen.size === 0 ? skipped('no copy reads different words: see rng.different') : passed();
};
