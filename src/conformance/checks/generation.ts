/** Checks of "The generation", and of the rules about a machine that was restored from a saved state. */
import { type Fault, hex } from '../../cpu.ts';
import { FEATURE_ACK } from '../../spec/index.ts';
import { type Implementation, isFault } from '../implementation.ts';
import { type Finding, failed, passed, skipped } from '../rule.ts';
import { changedLeaf, constantLeaves } from './discovery.ts';
import { generationValues, type RestoredCopy, restoredCopies } from './samples.ts';
import { strayGeneration } from './stray.ts';

interface Generation {
  readonly msr: number;
  /** The result of the first read. */
  readonly value: bigint | Fault;
}
type Check = (implementation: Implementation) => Promise<Finding> | Finding;

function withGeneration(
  check: (implementation: Implementation, generation: Generation) => Promise<Finding> | Finding,
): Check {
  return async (implementation) => {
    const [value] = await generationValues(implementation);
    if (implementation.generation === undefined || value === undefined)
      return skipped('no generation is offered, or none that can be found');
    return check(implementation, { ...implementation.generation, value });
  };
}

const shown = (value: bigint | Fault): string => (isFault(value) ? value : hex(value, 16));
const revived = restoredCopies(changedLeaf);

export const neverRaises = withGeneration(async (implementation, { msr }) => {
  const values = await generationValues(implementation);
  if (values.every(isFault)) return skipped('nothing is there: see features.generation');
  const at = values.findIndex(isFault);
  if (at < 0) return passed(`${values.length} reads`);
  return failed(
    `RDMSR ${hex(msr)}: expected a value, got ${String(values[at])} at read ${at + 1} of ${values.length}`,
  );
});

/** One value, from the first read to the last, on every virtual CPU. */
export const same = withGeneration(async (implementation, { msr, value }) => {
  const values = [...(await generationValues(implementation)), await implementation.rdmsr(msr)];
  if (values.some(isFault)) return skipped('RDMSR raises exceptions: see generation.exception');
  const other = values.find((v) => v !== value);
  if (other !== undefined)
    return failed(`RDMSR ${hex(msr)}: expected ${shown(value)} each time, got ${shown(other)}`);
  for (const [i, cpu] of (implementation.controls.others ?? []).entries()) {
    const there = await implementation.checkAnswers(cpu).rdmsr(msr);
    if (there !== value)
      return failed(
        `RDMSR ${hex(msr)}: expected ${shown(value)} on every vCPU, got ${shown(there)} on vCPU ${i + 1}`,
      );
  }
  return passed(shown(value));
});

/** Its own value is written, so that a hypervisor that wrongly takes it changes nothing. */
export const writeRaises = withGeneration(async (implementation, { msr, value }) => {
  if ((implementation.features.eax & FEATURE_ACK) !== 0) return skipped('a write acknowledges');
  const fault = await implementation.wrmsr(msr, isFault(value) ? 0n : value);
  return fault === '#GP'
    ? passed()
    : failed(`WRMSR ${hex(msr)}: expected #GP, got ${fault ?? 'no exception'}`);
});

export const pauseKeeps = withGeneration(async (implementation, { msr }) => {
  if (implementation.controls.pause === undefined) return skipped('this way to the machine cannot pause it');
  const [first, second] = [await implementation.rdmsr(msr), await implementation.rdmsr(msr)];
  if (first !== second || isFault(first)) return skipped('it is no constant value: see generation.same');
  await implementation.controls.pause();
  const after = await implementation.rdmsr(msr);
  if (isFault(after)) return skipped('RDMSR raises exceptions: see generation.exception');
  if (after === first) return passed();
  return failed(`RDMSR ${hex(msr)} after a pause: expected ${shown(first)} as before, got ${shown(after)}`);
});

/** New with each restore, there at the first read, and the same from then on. */
export const restoreRenews = withGeneration(async (implementation, { msr, value }) => {
  const { restore, resume } = implementation.controls;
  if (restore === undefined && resume === undefined)
    return skipped('this way to the machine cannot restore it');
  if (isFault(value)) return skipped('RDMSR raises exceptions: see generation.exception');
  if ((await strayGeneration(implementation)) !== undefined)
    return skipped('a wrong index: see registers.generation');
  const steady = new Set(await generationValues(implementation)).size === 1;
  const before = new Map<bigint | Fault, string>([[value, 'before']]);
  for (const revival of await revived(implementation)) {
    const [first, ...rest] = revival.generation;
    if (first === undefined || isFault(first))
      return failed(`RDMSR ${hex(msr)} ${after(revival)}: expected a new value, got ${first ?? 'nothing'}`);
    const earlier = before.get(first);
    if (earlier !== undefined)
      return failed(
        `RDMSR ${hex(msr)} ${after(revival)}: expected a new value, got ${shown(first)} as ${earlier}`,
      );
    // Another rule checks a value that never stays; this one checks a value that comes late, after the first read.
    const late = rest.find((v) => v !== first);
    if (late !== undefined && steady)
      return failed(
        `RDMSR ${hex(msr)} ${after(revival)}: expected ${shown(first)} to stay, got ${shown(late)}`,
      );
    before.set(first, after(revival));
  }
  return passed(`${before.size} values, all different`);
});

function after({ how }: RestoredCopy): string {
  return how === 'restore' ? 'after a restore in place' : 'after a resume as a new machine';
}

/** Draft 3: leaves stay the same, "restores of its state included". */
export const restoreKeepsLeaves: Check = async (implementation) => {
  const { restore, resume } = implementation.controls;
  if (restore === undefined && resume === undefined)
    return skipped('this way to the machine cannot restore it');
  if ((await constantLeaves(implementation)).outcome === 'failed')
    return skipped('not constant: see discovery.constant');
  const changed = (await revived(implementation)).find((revival) => revival.changed !== undefined);
  return changed === undefined ? passed() : failed(`${after(changed)}, ${changed.changed}`);
};

/** Copies of one saved state must not read the same values: their state was not saved with them. */
export const copiesDiffer: Check = async (implementation) => {
  const { restore, resume } = implementation.controls;
  if (restore === undefined && resume === undefined)
    return skipped('this way to the machine cannot restore it');
  if (implementation.rng === undefined) return skipped('no RNG is offered, or none that can be found');
  const seen = new Map<string, RestoredCopy>();
  for (const revival of await revived(implementation)) {
    if (revival.values.some(isFault) || new Set(revival.values).size < 2) continue;
    const values = revival.values.map(shown).join(' ');
    const twin = seen.get(values);
    if (twin !== undefined)
      return failed(`two copies of one saved state (${after(twin)}, ${after(revival)}): both read ${values}`);
    seen.set(values, revival);
  }
  return seen.size === 0 ? skipped('no copy reads different values: see rng.different') : passed();
};
