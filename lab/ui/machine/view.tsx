/** The machine, or the two copies of one: its controls, its console, and an image of the reader's own. */
import { useEffect, useRef, useState } from 'preact/hooks';
import { take } from '../../state/files.ts';
import { image, machines, shown } from '../../state/lab.ts';
import type { Session } from '../../state/session.ts';
import { onFiles } from '../files.ts';
import { Section } from '../section.tsx';
import { ConsoleView, Legend } from './console.tsx';
import { ImageBar } from './image-bar.tsx';
import { Toolbar } from './toolbar.tsx';

export function MachineView() {
  const [wrong, setWrong] = useState('');
  const [over, setOver] = useState(false);
  const place = useRef<HTMLDivElement>(null);
  const took = (files: readonly File[]) =>
    void take(files).then(
      () => setWrong(''),
      (error: Error) => setWrong(error.message),
    );
  useEffect(
    () =>
      onFiles(setOver, (files) => {
        took(files);
        place.current?.scrollIntoView({ block: 'nearest' });
      }),
    [],
  );
  const all = machines.value;
  return (
    <Section id="machine" title="Machine" lead={leadOf(shown.value)}>
      <div
        class={over ? 'drop over' : 'drop'}
        role="group"
        aria-label="The machine, and where a dropped file goes"
        ref={place}
      >
        <Toolbar />
        <ImageBar take={took} />
        {wrong !== '' && (
          <p class="flaw" role="alert">
            {wrong}
          </p>
        )}
        <div class={all.length > 1 ? 'consoles two' : 'consoles'}>
          {all.map((machine, i) => (
            <ConsoleView key={machine.id} machine={machine} at={i} />
          ))}
        </div>
        {all.some(({ probe, hasMachine }) => probe && hasMachine) && <Legend />}
      </div>
    </Section>
  );
}

function leadOf(machine: Session | undefined): string {
  if (image.value) return 'A system of your own. It stays in this page.';
  return machine?.hasMachine === false
    ? 'The hypervisor alone, without a machine and a guest.'
    : 'The probe guest: 2 KiB that execute what they are asked to.';
}
