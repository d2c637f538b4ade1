/** A register that answers beside the index that was advertised for it: the mistake behind "nothing is there". */
import { hex } from '../../cpu.ts';
import { isFault, type Subject } from '../subject.ts';
import { generationValues, neighboursOf, wordsOf } from './samples.ts';

/** An absent MSR faults, or reads 0 under hypervisors that ignore what they do not know. */
const isAbsent = (answers: readonly unknown[]): boolean =>
  answers.every(isFault) || answers.every((answer) => answer === 0n);

/** What is to be said where words come from a neighbour of the index instead. */
export async function strayRng(subject: Subject): Promise<string | undefined> {
  const { rng } = subject;
  if (rng === undefined || !isAbsent(await wordsOf(subject))) return undefined;
  const neighbours = await neighboursOf(subject);
  for (const msr of [rng.msr - 1, rng.msr + 1].filter((near) => neighbours.has(near))) {
    const [first, second] = [neighbours.get(msr), await subject.rdmsr(msr)];
    if (!isFault(first) && !isFault(second) && first !== second)
      return `RDMSR ${hex(rng.msr)}: expected the RNG at the index that is advertised, found words that differ at ${hex(msr)}`;
  }
  return undefined;
}

/** The same for the generation, which is known by not being zero. */
export async function strayGeneration(subject: Subject): Promise<string | undefined> {
  const { generation } = subject;
  if (generation === undefined || !isAbsent(await generationValues(subject))) return undefined;
  const neighbours = await neighboursOf(subject);
  for (const msr of [generation.msr - 1, generation.msr + 1]) {
    const value = neighbours.get(msr);
    if (value !== undefined && !isFault(value) && value !== 0n && (await subject.rdmsr(msr)) === value)
      return `RDMSR ${hex(generation.msr)}: expected the generation at the index that is advertised, found a value at ${hex(msr)}`;
  }
  return undefined;
}
