/**
 * The guest's own generator. A kernel seeds one from the RNG and draws from that one afterwards; its state lies in the
 * guest's memory and is saved with the machine, so that two copies draw the same values. The probe guest is too
 * small to hold one, so the lab holds it and saves it beside the machine: draws, reseeds and
 * their reasons are as in a guest.
 */
import type { Cpu } from 'commonhv';
import { acknowledge, type Discovery, seed } from 'commonhv/guest';
import { chacha20 } from './chacha.ts';

/** The generator's state: plain, so that it can be saved. */
export interface Draws {
  readonly key: Uint32Array<ArrayBuffer>;
  readonly counter: number;
  /** The generation at the time when the generator was seeded. */
  readonly generation: bigint | undefined;
}

const REFUSALS = {
  'no-commonhv': 'no CommonHV here: the guest has nothing to seed its generator from',
  'no-rng': 'no RNG is offered: the guest has nothing to seed its generator from',
  fault: 'the RNG raised an exception: the guest has nothing to seed its generator from',
  stuck: 'the RNG gives the same value again and again: the guest does not call itself seeded',
  patterned: 'each value is one step from the last: the guest does not call itself seeded',
  changing: 'the generation changed at every attempt: the guest has nothing to seed its generator from',
} as const;
/** A restore between the reads and the acknowledgement makes the guest begin again, at most so often. */
const MAX_ATTEMPTS = 4;

/** Without CommonHV a guest gathers its seed from the timing of its devices; here the browser's generator stands in for that. */
function gathered(): Draws {
  return { key: crypto.getRandomValues(new Uint32Array(8)), counter: 0, generation: undefined };
}

/** Seeds a generator from the RNG and acknowledges that; throws an Error with the reason where the values are of no use. */
async function seeded(cpu: Cpu, discovery: Discovery): Promise<Draws> {
  for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
    const result = await seed(cpu, { discovery });
    if (result.outcome !== 'values') throw new Error(REFUSALS[result.outcome]);
    const key = new Uint32Array(result.bytes.slice(0, 32).buffer);
    result.bytes.fill(0);
    const { generation } = result;
    const told = generation === undefined ? 'absent' : await acknowledge(cpu, discovery, generation);
    if (told !== 'changed') return { key, counter: 0, generation };
  }
  throw new Error(REFUSALS.changing);
}

/**
 * Draws values. First the guest reads the generation register, where there is one: another value than at the last
 * seeding means that this machine was restored from a saved copy, so it seeds itself again.
 */
export async function drawValues(
  cpu: Cpu,
  discovery: Discovery | undefined,
  before: Draws | undefined,
  count: number,
): Promise<{ draws: Draws; values: BigUint64Array<ArrayBuffer> }> {
  const current = await currentDraws(cpu, discovery, before);
  const { key, counter, generation } = current;
  const values = new BigUint64Array(count);
  const blocks = Math.ceil(count / 8);
  for (let block = 0; block < blocks; block++) {
    const drawn = new BigUint64Array(chacha20(key, counter + block).buffer as ArrayBuffer);
    values.set(drawn.subarray(0, Math.min(8, count - 8 * block)), 8 * block);
  }
  return { draws: { key, counter: counter + blocks, generation }, values };
}

async function currentDraws(
  cpu: Cpu,
  discovery: Discovery | undefined,
  before: Draws | undefined,
): Promise<Draws> {
  if (discovery === undefined) return before ?? gathered();
  const read = discovery.generation && (await cpu.rdmsr(discovery.generation.msr));
  const generation = typeof read === 'bigint' ? read : undefined;
  return before !== undefined && before.generation === generation ? before : seeded(cpu, discovery);
}
