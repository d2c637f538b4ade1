/** One picture of random values with its tests: none proves them good, some find bad ones. */
import type { ComponentChildren } from 'preact';
import type { Look, Picture } from '../../state/picture.ts';
import type { Session } from '../../state/session.ts';
import { Bitmap } from './bitmap.tsx';

export function PictureView(props: {
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
  const count = look.total === 0 ? emptyText(machine, picture) : countText(look);
  return (
    <figure>
      <Bitmap picture={picture} label={`${title}: ${count}`} colour={colour} tall={tall} />
      <figcaption>
        <strong>{title}</strong>
        <span>{count}</span>
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
      {/* Values that count are all different: that is no merit where another test failed. */}
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

/** Why there are no values. */
function emptyText(machine: Session, picture: Session['read']): string {
  const detection = machine.seen.value?.detection;
  const offered = detection === undefined || detection.commonhv?.rng !== undefined;
  return picture === machine.read && !offered ? 'no RNG is offered' : 'nothing yet';
}

function countText({ total }: Look): string {
  return `${total.toLocaleString('en')} values`;
}
