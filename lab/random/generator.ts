/**
 * The guest's own generator. A kernel seeds one from the RNG and draws from that one afterwards; its state lies in the
 * guest's memory and is saved with the machine, which is how two copies come to draw alike. The probe guest is too
 * small to hold one, so the lab holds it and saves it beside the machine: draws, reseeds and
 * their reasons are as in a guest.
 */
import type { Cpu } from 'commonhv';
import { type Discovery, seed } from 'commonhv/guest';
import { chacha20 } from './chacha.ts';

/** The generator's state: plain, so that it can be saved. */
export interface Draws {
  readonly key: Uint32Array;
  readonly counter: number;
  /** The generation at the time when the generator was seeded. */
  readonly generation: bigint | undefined;
}

/** Seeds a generator from the RNG; throws an Error with the reason where the values are of no use. */
async function seeded(cpu: Cpu, discovery: Discovery, generation: bigint | undefined): Promise<Draws> {
  const result = await seed(cpu, { discovery });
  if (result.outcome !== 'values') throw new Error(REFUSALS[result.outcome]);
  const key = new Uint32Array(result.bytes.slice(0, 32).buffer);
  result.bytes.fill(0);
  return { key, counter: 0, generation };
}

const REFUSALS = {
  'no-commonhv': 'no CommonHV here: the guest has nothing to seed its generator from',
  'no-rng': 'no RNG is offered: the guest has nothing to seed its generator from',
  fault: 'the RNG raised an exception: the guest has nothing to seed its generator from',
  stuck: 'the RNG gives the same word again and again: the guest does not call itself seeded',
  patterned: 'each word is one step from the last: the guest does not call itself seeded',
  changing: 'the generation changed at every attempt: the guest has nothing to seed its generator from',
} as const;

/**
 * Draws values. First the guest looks at the generation register, where there is one: another value than at the last
 * seeding means that this machine was restored from a saved copy, so it seeds itself again.
 */
export async function drawWords(
  cpu: Cpu,
  discovery: Discovery | undefined,
  before: Draws | undefined,
  count: number,
): Promise<{ draws: Draws; words: BigUint64Array<ArrayBuffer> }> {
  if (discovery === undefined) throw new Error(REFUSALS['no-commonhv']);
  const read = discovery.generation && (await cpu.rdmsr(discovery.generation.msr));
  const generation = typeof read === 'bigint' ? read : undefined;
  const current = before !== undefined && before.generation === generation;
  const { key, counter } = current ? before : await seeded(cpu, discovery, generation);
  const words = new BigUint64Array(count);
  const blocks = Math.ceil(count / 8);
  for (let block = 0; block < blocks; block++) {
    const drawn = new BigUint64Array(chacha20(key, counter + block).buffer as ArrayBuffer);
    words.set(drawn.subarray(0, Math.min(8, count - 8 * block)), 8 * block);
  }
  return { draws: { key, counter: counter + blocks, generation }, words };
}
