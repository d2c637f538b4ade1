/** Every normative sentence of the three drafts, in the order of the texts. */
import type { Draft } from '../../spec/index.ts';
import type { Rule } from '../rule.ts';
import { discovery } from './discovery.ts';
import { features, msrs } from './features.ts';
import { generation, rest } from './generation.ts';
import { interfaces } from './interfaces.ts';
import { acknowledgement, page } from './page.ts';
import { rng } from './rng.ts';
import { sources } from './sources.ts';

/** The rules of all drafts, notes included; an `id` comes again where another draft words its sentence in another way. */
export const rules: readonly Rule[] = [
  ...discovery,
  ...interfaces,
  ...features,
  ...msrs,
  ...rng,
  ...sources,
  ...generation,
  ...acknowledgement,
  ...page,
  ...rest,
];

/** The rules that a draft has, those about guests included, in the order of its text. */
export function rulesOf(draft: Draft): readonly Rule[] {
  return rules.filter(({ drafts }) => drafts.includes(draft));
}
