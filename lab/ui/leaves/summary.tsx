/** What the guest found, in a sentence or two. */
import type { Discovery } from 'commonhv/guest';
import { listText } from '../../model/interface-text.ts';
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
