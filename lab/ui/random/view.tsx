/** The RNG as a picture: the values that each machine's guest read, and the output of its own generator. */

import { type Settings, whyNoGeneration } from '../../model/settings.ts';
import { sentence } from '../../model/text.ts';
import { machines } from '../../state/lab.ts';
import { SHOWN } from '../../state/picture.ts';
import { sharedBy } from '../../state/results.ts';
import type { Session } from '../../state/session.ts';
import { Section } from '../section.tsx';
import { PictureView } from './picture-view.tsx';

export function RandomView() {
  const all = machines.value;
  // All the pictures are as tall as the fullest: side by side they are compared row by row.
  const totals = all.flatMap(({ read, drawn }) => [read.look.value.total, drawn.look.value.total]);
  const tall = Math.min(SHOWN, Math.max(0, ...totals));
  const shared = sharedBy(all);
  return (
    <Section
      id="random"
      title="Random"
      lead={
        all.some(({ probe }) => !probe)
          ? 'A system of your own cannot be asked: its reads of the RNG show on the left when it makes them; its generator’s output stays its own.'
          : 'Each row is 128 bits. Left the values that the guest reads from the hypervisor’s RNG, right those that its own generator draws. A guest reads eight more each time that it seeds its generator.'
      }
      aside={<RandomBar machines={all} />}
    >
      {all.length === 2 && <CopiesResult settings={all[0]!.settings} shared={shared} />}
      <div class={all.length > 1 ? 'pictures two' : 'pictures'}>
        {all.map((machine) => (
          <MachinePictures key={machine.id} {...{ machine, shared, tall }} titled={all.length > 1} />
        ))}
      </div>
    </Section>
  );
}

function RandomBar({ machines: all }: { machines: readonly Session[] }) {
  const disabled = all.length === 0 || all.some(({ askable }) => !askable);
  return (
    <div class="toolbar">
      <button
        type="button"
        disabled={disabled}
        onClick={() => {
          for (const each of all) void each.readValues(64);
        }}
      >
        Read 64 values
      </button>
      <button
        type="button"
        disabled={disabled}
        onClick={() => {
          for (const each of all) void each.drawValues(64);
        }}
      >
        Draw 64 values
      </button>
    </div>
  );
}

function MachinePictures(props: {
  machine: Session;
  shared: number | undefined;
  tall: number;
  titled: boolean;
}) {
  const { machine, shared, tall, titled } = props;
  return (
    <div class="machine-pictures" role="group" aria-label={`Values of ${machine.name}`}>
      {titled && <h3>{machine.name}</h3>}
      <div class="pair">
        <PictureView
          picture={machine.read}
          title="Read from the RNG"
          colour="--rng"
          machine={machine}
          tall={tall}
        />
        <PictureView
          picture={machine.drawn}
          title="Drawn by the guest"
          colour="--drawn"
          shared={shared}
          machine={machine}
          tall={tall}
        />
      </div>
    </div>
  );
}

/** Whether two copies of one machine draw alike, and why. */
function CopiesResult({ settings, shared }: { settings: Settings; shared: number | undefined }) {
  const none = whyNoGeneration(settings);
  return (
    <div role="status" class={shared === undefined ? 'verdict' : shared > 0 ? 'verdict ill' : 'verdict well'}>
      {shared === undefined ? (
        <p>The two copies have not drawn yet.</p>
      ) : shared > 0 ? (
        <p>
          <strong>The copies draw alike:</strong> the first {shared} values are the same in both.{' '}
          {none === undefined ? 'The generation was kept' : sentence(none)}: nothing told the guests that they
          were copied, so neither seeded its generator again.
        </p>
      ) : (
        <p>
          <strong>The copies differ from their first value on:</strong>{' '}
          {none === undefined
            ? 'the generation changed when they were restored, and each guest seeded its generator anew.'
            : `${none}, but neither guest had seeded its generator when it was saved.`}
        </p>
      )}
    </div>
  );
}
