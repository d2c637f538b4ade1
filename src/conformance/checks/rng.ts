/** Checks of the RNG: each is a rule's part of the evidence that the stages gather. */
import { isFault } from '../answers.ts';
import type { Stage } from '../evidence.ts';
import type { Implementation } from '../implementation.ts';
import { type Finding, passed, skipped } from '../rule.ts';
import { copiesStage } from './copies.ts';
import { type Check, found, withoutRng } from './found.ts';
import { rngStage } from './reads.ts';
import { mayWrite, rngWriteStage, writesOf } from './writes.ts';

const rng = (id: string, stage: Stage, missing = withoutRng, otherwise?: string): Check =>
  found(id, stage, missing, otherwise);

const withoutWrites = (implementation: Implementation): string | undefined =>
  withoutRng(implementation) ??
  (mayWrite(implementation) ? undefined : 'no input is accepted: bit 1 is clear, and a write is unspecified');
const withoutInput = (implementation: Implementation): string | undefined =>
  withoutRng(implementation) ??
  (implementation.rng?.input ? undefined : 'no input is accepted: bit 1 is clear');
export const withoutRestores = ({ controls }: Implementation): string | undefined =>
  controls.has('restore') || controls.has('resume') ? undefined : 'not checked: restores';
const withoutMachines = (implementation: Implementation): string | undefined =>
  withoutRng(implementation) ??
  (implementation.controls.has('another') ? undefined : 'not checked: machines side by side');

const SECURE = 'the values are stated to be secure: see msrs.secure';
const unlessSecure = (implementation: Implementation): string | undefined =>
  withoutRng(implementation) ?? (implementation.secure ? SECURE : undefined);

export const rngThere = rng('features.rng', rngStage);
export const rngIndex = rng('msrs.rng', rngStage);
export const neverRaises = rng('rng.exception', rngWriteStage);
export const notConstant = rng('rng.constant', rngStage);
export const different = rng('rng.different', rngWriteStage, unlessSecure);
export const bothHalves = rng('rng.width', rngStage, unlessSecure);
export const fitForSeeding = rng('rng.quality', rngStage, unlessSecure);
export const writeAccepted = rng('rng.write', rngWriteStage, withoutInput);
export const writeRefused: Check = (implementation) =>
  implementation.rng?.input
    ? skipped('input is accepted: bit 1 is set')
    : rng('rng.refuse', rngWriteStage)(implementation);
export const noEcho = rng('rng.echo', rngWriteStage, withoutWrites, 'no other machine was there to see it');
export const noEchoElsewhere = rng(
  'rng.echo',
  copiesStage,
  (implementation) =>
    withoutWrites(implementation) ??
    (withoutRestores(implementation) !== undefined && !implementation.controls.has('another')
      ? 'not checked: restores, machines side by side'
      : undefined),
);
export const writesLowerNothing = rng('rng.lowered', rngWriteStage, withoutWrites);
export const copiesDiffer = rng(
  'rng.saved',
  copiesStage,
  (implementation) => withoutRng(implementation) ?? withoutRestores(implementation),
);
export const noStateTwice = rng(
  'rng.state',
  copiesStage,
  (implementation) =>
    withoutRng(implementation) ??
    (implementation.machine.cpus.length < 2 ? withoutMachines(implementation) : undefined),
);
export const machinesDiffer = rng('rng.apart', copiesStage, withoutMachines);
/** No number of values proves the statement; a pattern, or a value that comes twice, refutes it. */
export const secureStatement = rng(
  'msrs.secure',
  rngWriteStage,
  (implementation) =>
    withoutRng(implementation) ??
    (implementation.secure ? undefined : 'no statement that the values are secure'),
);

/** Drafts 1 and 2: "a hypervisor is free to return zero". */
export const zeroAllowed: Check = async (implementation): Promise<Finding> => {
  const missing = withoutRng(implementation);
  if (missing !== undefined) return skipped(missing);
  const value = await implementation.rdmsr(implementation.rng!.msr);
  return passed(value === 0n ? 'a value is zero' : isFault(value) ? 'no value' : 'a value is not zero');
};

export const writeUse: Check = async (implementation) => {
  const missing = withoutInput(implementation);
  if (missing !== undefined) return skipped(missing);
  const refused = (await writesOf(implementation)).some(({ fault }) => fault !== undefined);
  return passed(refused ? 'writes are refused' : 'accepted; whether they are used cannot be seen');
};
