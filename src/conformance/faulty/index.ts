/** Hypervisors with one fault each: they prove that every rule can fail, and that only one does. */
import { discovery } from './discovery.ts';
import type { FaultyHypervisor } from './faulty.ts';
import { features } from './features.ts';
import { generation } from './generation.ts';
import { interfaces } from './interfaces.ts';
import { rng } from './rng.ts';

export type { FaultyCpu, FaultyHypervisor } from './faulty.ts';

/** At least one for each checked rule, in every draft that has it, but for a MAY, which nothing can break. */
export const faultyHypervisors: readonly FaultyHypervisor[] = [
  ...discovery,
  ...interfaces,
  ...features,
  ...rng,
  ...generation,
];
