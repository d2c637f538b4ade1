/** Rules whose evidence the stages gather: each reads it after the stages that concern it. */
import type { Awaitable } from '../../cpu.ts';
import { evidenceOf, type Stage } from '../evidence.ts';
import type { Implementation } from '../implementation.ts';
import { type Finding, skipped } from '../rule.ts';

export type Check = (implementation: Implementation) => Awaitable<Finding>;

/** Another rule's failure, a MUST, that explains this one's: no circles, or both would go unreported. */
export const EXPLAINED_BY: Readonly<Record<string, readonly string[]>> = {
  'features.rng': ['msrs.rng'],
  'rng.exception': ['msrs.rng', 'features.rng'],
  'rng.constant': ['msrs.rng'],
  'rng.different': ['msrs.rng'],
  'rng.lowered': ['rng.constant', 'rng.state'],
  'rng.state': ['generation.independent'],
  'msrs.secure': ['rng.lowered'],
  'rng.saved': ['rng.state', 'rng.lowered', 'msrs.secure', 'generation.independent'],
  'features.generation': ['msrs.generation'],
  'generation.exception': ['msrs.generation', 'features.generation'],
  'generation.halves': ['msrs.generation', 'generation.write-keeps'],
  'generation.same': ['generation.restored'],
  'generation.steady': ['generation.same', 'generation.write-keeps', 'generation.migration'],
  'generation.write-keeps': ['generation.same', 'generation.exception'],
  'generation.pause': ['generation.same'],
  'generation.halves-restored': [
    'generation.restored',
    'generation.halves',
    'generation.same',
    'generation.write-keeps',
  ],
  'generation.fresh': [
    'generation.restored',
    'generation.halves',
    'generation.halves-restored',
    'generation.same',
    'generation.write-keeps',
  ],
  'nesting.renew': ['generation.same', 'generation.exception', 'generation.write-keeps'],
  'acknowledgement.accepted': ['generation.same', 'generation.write-keeps'],
  'acknowledgement.other': ['generation.same', 'generation.write-keeps'],
  'acknowledgement.report': ['generation.same', 'generation.restored', 'acknowledgement.accepted'],
  'acknowledgement.repeated': [
    'generation.write-keeps',
    'generation.same',
    'generation.restored',
    'generation.fresh',
    'acknowledgement.accepted',
  ],
  'discovery.restored': ['discovery.constant'],
  'page.exception': ['msrs.page'],
  'page.unchanged': ['page.value', 'page.holds'],
  'page.others': ['page.disable'],
  'page.restored': ['page.value', 'page.exception', 'page.unchanged', 'msrs.page'],
  'page.renewed': ['generation.same', 'generation.restored', 'page.restored'],
};

/** The finding of a rule after `stage`; `missing` says why it cannot be asked, where it cannot. */
export function found(
  id: string,
  stage: Stage,
  missing: (implementation: Implementation) => string | undefined,
  otherwise = 'nothing was asked: see the rules that failed',
): Check {
  return async (implementation) => {
    const reason = missing(implementation);
    if (reason !== undefined) return skipped(reason);
    await stage(implementation);
    const evidence = evidenceOf(implementation);
    const others = [...(EXPLAINED_BY[id] ?? []), ...(implementation.draft === 3 ? [] : ['rng.different'])];
    const other = others.find(
      (one) => one !== id && evidence.has(one) && (id === 'rng.saved' || one !== 'rng.different'),
    );
    if (other !== undefined) return skipped(`see ${other}`);
    return evidence.finding(id, otherwise);
  };
}

export const withoutRng = ({ rng }: Implementation): string | undefined =>
  rng === undefined ? 'no RNG is offered, or none that can be found' : undefined;
export const withoutGeneration = ({ generation }: Implementation): string | undefined =>
  generation === undefined ? 'no generation is offered, or none that can be found' : undefined;
export const withoutPage = ({ page, machine }: Implementation): string | undefined =>
  page === undefined
    ? 'no generation page is offered, or none that can be found'
    : machine.memory === undefined
      ? 'not checked: guest memory'
      : undefined;
