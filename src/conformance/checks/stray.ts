/** A register that answers beside the index that was advertised for it: the mistake behind "nothing is there". */
import { hex } from '../../cpu.ts';
import { type Implementation, isFault } from '../implementation.ts';
import { adjacentMsrsOf, generationValues, randomValuesOf } from './samples.ts';

/** An absent MSR faults, or reads 0 under hypervisors that ignore unknown MSRs. */
const isAbsent = (answers: readonly unknown[]): boolean =>
  answers.every(isFault) || answers.every((answer) => answer === 0n);

/** The message where an MSR adjacent to the index returns the values instead. */
export async function strayRng(implementation: Implementation): Promise<string | undefined> {
  const { rng } = implementation;
  if (rng === undefined || !isAbsent(await randomValuesOf(implementation))) return undefined;
  const neighbours = await adjacentMsrsOf(implementation);
  for (const msr of [rng.msr - 1, rng.msr + 1].filter((near) => neighbours.has(near))) {
    const [first, second] = [neighbours.get(msr), await implementation.rdmsr(msr)];
    if (!isFault(first) && !isFault(second) && first !== second)
      return `RDMSR ${hex(rng.msr)}: expected the RNG at the index that is advertised, found values that differ at ${hex(msr)}`;
  }
  return undefined;
}

/** The same for the generation, which is known by not being zero. */
export async function strayGeneration(implementation: Implementation): Promise<string | undefined> {
  const { generation } = implementation;
  if (generation === undefined || !isAbsent(await generationValues(implementation))) return undefined;
  const neighbours = await adjacentMsrsOf(implementation);
  for (const msr of [generation.msr - 1, generation.msr + 1]) {
    const value = neighbours.get(msr);
    if (value !== undefined && !isFault(value) && value !== 0n && (await implementation.rdmsr(msr)) === value)
      return `RDMSR ${hex(generation.msr)}: expected the generation at the index that is advertised, found a value at ${hex(msr)}`;
  }
  return undefined;
}
