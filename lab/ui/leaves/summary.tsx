/** What the guest found, in a sentence or two. */
import type { Discovery, Interface } from 'commonhv/guest';
import { formatSignature } from 'commonhv/spec';
import { leafName } from '../../model/text.ts';
import type { Session } from '../../state/session.ts';

export function Summary({ machine }: { machine: Session | undefined }) {
  if (machine === undefined) return <>Nothing runs.</>;
  if (!machine.probe) return <>A system of your own cannot be asked; the timeline shows what it asks.</>;
  const seen = machine.seen.value;
  if (seen === undefined) return <>The guest has not looked yet.</>;
  const { commonhv, hypervisorBit, interfaces, cost } = seen.detection;
  const bit = `The hypervisor bit is ${hypervisorBit ? 'set' : 'clear'}`;
  if (commonhv === undefined) {
    return (
      <>
        The guest finds no CommonHV. {bit}; the scan found {interfaces.length} interface
        {interfaces.length === 1 ? '' : 's'} with {cost.cpuid} CPUIDs.
      </>
    );
  }
  return (
    <>
      The guest finds{' '}
      <strong>{commonhv.draft === undefined ? 'an empty CommonHV' : `draft ${commonhv.draft}`}</strong> with{' '}
      {cost.cpuid} CPUIDs. {bit}. {listText(interfaces, commonhv.preferred)} {rngText(commonhv)}{' '}
      {commonhv.generation && `Generation at MSR ${leafName(commonhv.generation.msr)}.`}
    </>
  );
}

/** The list in its order; equal entries that follow each other are counted, as a hypervisor may claim hundreds. */
export function listText(interfaces: readonly Interface[], preferred?: number): string {
  if (interfaces.length === 0) return 'No interface is listed.';
  const runs: { readonly text: string; count: number }[] = [];
  interfaces.forEach((entry, i) => {
    const text = `${nameOf(entry)} at ${leafName(entry.location)}${entry.confirmed ? '' : ' (not confirmed)'}${
      preferred === i + 1 ? ' (preferred)' : ''
    }`;
    const last = runs.at(-1);
    if (last?.text === text) last.count++;
    else runs.push({ text, count: 1 });
  });
  return `${runs.map(({ text, count }) => (count === 1 ? text : `${count} × ${text}`)).join(', ')}.`;
}

export const nameOf = ({ product, signature }: Interface): string => product ?? formatSignature(signature);

function rngText({ rng }: Discovery): string {
  if (rng === undefined) return 'No RNG.';
  const quality =
    rng.secure === undefined
      ? 'of no stated quality'
      : rng.secure
        ? 'said to be secure'
        : 'said not to be secure';
  return `RNG at MSR ${leafName(rng.msr)}, ${quality}.`;
}
