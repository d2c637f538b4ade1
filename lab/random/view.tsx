/** The RNG as a picture: the values that each machine's guest read, and the output of its own generator. */
import type { ComponentChildren } from 'preact';
import { machines } from '../lab.ts';
import type { Session } from '../machine/session.ts';
import { Section } from '../section.tsx';
import { type Settings, whyNoGeneration } from '../settings/settings.ts';
import { alike } from './alike.ts';
import { Bitmap } from './bitmap.tsx';
import { type Look, type Picture, SHOWN } from './picture.ts';

export function RandomView() {
  const all = machines.value;
  const busy = all.some(({ busy, state, probe }) => busy.value !== '' || state.value !== 'running' || !probe);
  const none = all.length === 0;
  // All the pictures are as tall as the fullest: side by side they are compared row by row.
  const most = Math.max(
    0,
    ...all.flatMap(({ read, drawn }) => [read.look.value.total, drawn.look.value.total]),
  );
  const tall = Math.min(SHOWN, most);
  const shared = all.length === 2 ? sharedBy(all[0]!, all[1]!) : undefined;
  return (
    <Section
      id="random"
      title="Random"
      lead={
        all.some(({ probe }) => !probe)
          ? 'A system of your own cannot be asked: its reads of the RNG show on the left when it makes them; what its generator draws stays its own.'
          : 'Each row is 128 bits. Left what the guest reads from the hypervisor’s RNG, right what its own generator, seeded from it, draws.'
      }
      aside={
        <div class="toolbar">
          <button
            type="button"
            disabled={none || busy}
            onClick={() => {
              for (const each of all) each.readWords(64);
            }}
          >
            Read 64 values
          </button>
          <button
            type="button"
            disabled={none || busy}
            onClick={() => {
              for (const each of all) each.drawWords(64);
            }}
          >
            Draw 64 values
          </button>
        </div>
      }
    >
      {all.length === 2 && <Verdict settings={all[0]!.settings} shared={shared} />}
      <div class={all.length > 1 ? 'pictures two' : 'pictures'}>
        {all.map((machine) => (
          <div class="machine-pictures" key={machine.id} role="group" aria-label={`Words of ${machine.name}`}>
            {all.length > 1 && <h3>{machine.name}</h3>}
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
        ))}
      </div>
    </Section>
  );
}

function PictureView(props: {
  picture: Picture;
  title: string;
  colour: string;
  machine: Session;
  tall: number;
  /** How many of the first values are those of the other copy too. */
  shared?: number | undefined;
}) {
  const { picture, title, colour, machine, tall, shared = 0 } = props;
  const look = picture.look.value;
  return (
    <figure>
      <Bitmap picture={picture} label={`${title}: ${describe(look)}`} colour={colour} tall={tall} />
      <figcaption>
        <strong>{title}</strong>
        <span>{describe(look)}</span>
        {look.total > 0 && <Health look={look} shared={shared} />}
        {look.total === 0 && machine.state.value === 'running' && machine.detail.value !== '' && (
          <span class="wrong">{machine.detail.value}</span>
        )}
      </figcaption>
    </figure>
  );
}

/** No test proves values good; these find some bad. */
function Health({ look: { distinct, compared, failed }, shared }: { look: Look; shared: number }) {
  // Values that another machine has too are not good, however they look by themselves.
  const well = failed === undefined && shared === 0 ? true : undefined;
  return (
    <ul class="health">
      {shared > 0 && <Finding well={false}>the first {shared} are the other copy’s too</Finding>}
      <Finding well={failed === undefined ? well : false}>
        {failed === undefined
          ? 'health tests: nothing found'
          : `health tests: ${failed.test}, within ${failed.after.toLocaleString('en')} values`}
      </Finding>
      {/* Words that count are all different: that is no merit where another test failed. */}
      <Finding well={distinct < compared ? false : well}>
        {distinct.toLocaleString('en')} different of {compared.toLocaleString('en')}
      </Finding>
    </ul>
  );
}

/** `well` is `undefined` where nothing is said of it. */
function Finding({ well, children }: { well: boolean | undefined; children: ComponentChildren }) {
  if (well === undefined) return <li>{children}</li>;
  return (
    <li class={well ? 'well' : 'ill'}>
      <span aria-hidden="true">{well ? '✓' : '✗'}</span> {children}
    </li>
  );
}

function describe({ total }: Look): string {
  if (total === 0) return 'nothing yet';
  return `${total.toLocaleString('en')} values`;
}

/** How many values two copies drew alike from the start; `undefined` until both have drawn. */
function sharedBy(first: Session, second: Session): number | undefined {
  const count = Math.min(first.drawn.look.value.total, second.drawn.look.value.total);
  return count === 0 ? undefined : alike(first.drawn.first, second.drawn.first);
}

/** Whether two copies of one machine draw alike, and why. */
function Verdict({ settings, shared }: { settings: Settings; shared: number | undefined }) {
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
          <strong>The copies differ from their first word on:</strong>{' '}
          {none === undefined
            ? 'the generation changed when they were restored, and each guest seeded its generator anew.'
            : `${none}, but neither guest had seeded its generator when it was saved.`}
        </p>
      )}
    </div>
  );
}

function sentence(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
