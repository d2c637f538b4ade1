/** Checks of the generation, its acknowledgement and its page: each is a rule's part of the evidence that the stages gather. */
import type { Implementation } from '../implementation.ts';
import { copiesStage, pauseStage } from './copies.ts';
import { type Check, found, withoutGeneration, withoutPage } from './found.ts';
import { pageStage } from './page.ts';
import { privilegeStage } from './privilege.ts';
import { generationStage } from './reads.ts';
import { withoutRestores } from './rng.ts';
import { generationWriteStage } from './writes.ts';

type Missing = (implementation: Implementation) => string | undefined;

const restored: Missing = (implementation) =>
  withoutGeneration(implementation) ?? withoutRestores(implementation);
const needs =
  (name: Parameters<Implementation['controls']['has']>[0], reason: string): Missing =>
  (implementation) =>
    withoutGeneration(implementation) ??
    (implementation.controls.has(name) ? undefined : `not checked: ${reason}`);
const acknowledged: Missing = (implementation) =>
  withoutGeneration(implementation) ??
  (implementation.generation?.acknowledged ? undefined : 'no acknowledgement is offered: bit 4 is clear');
const reported: Missing = (implementation) =>
  acknowledged(implementation) ??
  (implementation.controls.has('acknowledgements') ? undefined : 'not checked: reports to the owner');

export const generationThere = found('features.generation', generationStage, withoutGeneration);
export const generationIndex = found('msrs.generation', generationStage, withoutGeneration);
export const neverRaises = found('generation.exception', generationStage, withoutGeneration);
export const halves = found('generation.halves', generationStage, withoutGeneration);
export const same = found('generation.same', pauseStage, withoutGeneration);
export const steady = found('generation.steady', pauseStage, withoutGeneration);
export const writeKeeps = found('generation.write-keeps', generationWriteStage, withoutGeneration);
export const writeRaises = found(
  'generation.write',
  generationWriteStage,
  (implementation) =>
    withoutGeneration(implementation) ??
    (implementation.generation?.acknowledged ? 'the acknowledgement is offered: bit 4 is set' : undefined),
);
export const pauseKeeps = found('generation.pause', pauseStage, needs('pause', 'pauses'));
export const migrationKeeps = found('generation.migration', copiesStage, needs('migrate', 'live migrations'));
export const outerRenews = found(
  'nesting.renew',
  copiesStage,
  needs('renewOuter', 'changes of the outer generation'),
);
export const restoreRenews = found('generation.restored', copiesStage, restored);
export const restoreRenewsHalves = found('generation.halves-restored', copiesStage, restored);
export const fresh = found(
  'generation.fresh',
  copiesStage,
  (implementation) =>
    withoutGeneration(implementation) ??
    (withoutRestores(implementation) !== undefined && !implementation.controls.has('another')
      ? 'not checked: restores, machines side by side'
      : undefined),
);
export const independent = found(
  'generation.independent',
  copiesStage,
  (implementation) =>
    withoutGeneration(implementation) ?? (implementation.rng === undefined ? 'no RNG is offered' : undefined),
);
/** Draft 3: leaves stay the same, "restores of its state included". */
export const restoreKeepsLeaves = found('discovery.restored', copiesStage, withoutRestores);

export const ackAccepted = found('acknowledgement.accepted', generationWriteStage, acknowledged);
export const ackOther = found('acknowledgement.other', generationWriteStage, acknowledged);
export const ackReported = found('acknowledgement.report', generationWriteStage, reported);
export const ackRepeated = found('acknowledgement.repeated', generationWriteStage, reported);

export const pageIndex = found('msrs.page', pageStage, withoutPage);
export const pageRule = (id: string): Check => found(id, pageStage, withoutPage);
export const pageCopied = (id: string): Check =>
  found(
    id,
    copiesStage,
    (implementation) =>
      withoutPage(implementation) ??
      (id === 'page.renewed' && implementation.controls.has('renewOuter')
        ? undefined
        : withoutRestores(implementation)),
    'no copy was saved while the page was enabled, or the memory of none can be read',
  );

export const privilege = found('msrs.privilege', privilegeStage, ({ rng, generation, machine }) =>
  machine.ring3.length === 0
    ? 'not checked: CPL 3'
    : rng === undefined && generation === undefined
      ? 'no register is offered'
      : undefined,
);
