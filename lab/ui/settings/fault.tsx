/** Hypervisors that are wrong on purpose, by the part of the draft that they break. */
import { faults, faultyNamed, type Named } from '../../model/faulty.ts';
import type { Settings } from '../../model/settings.ts';
import { change, shown, validationError } from '../../state/lab.ts';
import { notFound } from '../../state/results.ts';

/** By the first part of the rule's name. */
const GROUPS: Readonly<Record<string, string>> = {
  discovery: 'Discovery',
  interfaces: 'Interfaces',
  features: 'Features',
  msrs: 'Registers',
  rng: 'Random values',
  generation: 'Generation',
  page: 'Generation page',
};

export function FaultFields({ now }: { now: Settings }) {
  // One that another draft left chosen stays in the list: the error is shown beneath.
  const listed = faults().filter(({ drafts, name }) => drafts.includes(now.draft) || name === now.faulty);
  const groups = new Map<string, Named[]>();
  for (const each of listed) {
    const [part] = each.rule.split('.') as [string];
    groups.set(part, [...(groups.get(part) ?? []), each]);
  }
  return (
    <fieldset>
      <legend>Wrong on purpose</legend>
      <select
        aria-label="A faulty hypervisor in the hypervisor’s place"
        value={now.faulty}
        onChange={(event) => change({ faulty: event.currentTarget.value })}
      >
        <option value="">nothing: the hypervisor is right</option>
        {[...groups].map(([part, listedFaults]) => (
          <optgroup key={part} label={GROUPS[part] ?? part}>
            {listedFaults.map(({ name, title }) => (
              <option key={name} value={name}>
                {title}
              </option>
            ))}
          </optgroup>
        ))}
      </select>
      {now.faulty !== '' && validationError.value === undefined && <FaultText name={now.faulty} />}
    </fieldset>
  );
}

/** Its whole title, which the closed list cuts off, and the rule that it breaks. */
function FaultText({ name }: { name: string }) {
  const fault = faultyNamed(name);
  const machine = shown.value;
  const missed = machine?.settings.faulty === name ? notFound(machine) : undefined;
  return (
    <p class={missed === undefined ? 'hint' : 'notice'}>
      It {fault?.title}, which breaks <code>{fault?.rule}</code>.{' '}
      {missed === undefined
        ? 'Start it, and see whether the suite finds that.'
        : 'The check of this machine did not find that.'}
    </p>
  );
}
