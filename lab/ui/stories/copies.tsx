/** Two pairs of copies and their guests' generators: alike without CommonHV, apart with it. */
import { SHOWN } from '../../state/picture.ts';
import { sharedBy } from '../../state/results.ts';
import type { Session } from '../../state/session.ts';
import { player } from '../../state/stories.ts';
import { Bitmap } from '../random/bitmap.tsx';

/** Values that a picture of the story shows: those that a copy draws at first. */
const TALL = Math.min(SHOWN, 64);

export function CopiesFigure() {
  const { first, without, with: told } = player.machines.value;
  const at = player.at.value;
  return (
    <>
      <Pair
        title="Without CommonHV"
        machines={at >= 1 ? without : first && [first]}
        acknowledged={false}
        hidden={false}
      />
      <Pair title="With CommonHV" machines={told} acknowledged={at >= 3} hidden={at < 2} />
    </>
  );
}

function Pair(props: {
  title: string;
  machines: readonly Session[] | undefined;
  acknowledged: boolean;
  hidden: boolean;
}) {
  const { title, machines = [], acknowledged, hidden } = props;
  const shared = sharedBy(machines);
  return (
    <div class={hidden ? 'story-pair later' : 'story-pair'} aria-hidden={hidden}>
      <h3>{title}</h3>
      <div class="story-pictures">
        {[0, 1].map((i) => (
          <Drawn key={i} machine={machines[i]} index={i} />
        ))}
        {shared !== undefined && (
          <p class={shared > 0 ? 'verdict ill' : 'verdict well'} role="status">
            <strong>{shared > 0 ? 'The same secret twice.' : 'Two different secrets.'}</strong>{' '}
            {shared > 0
              ? `All ${shared} values are alike: who knows the one copy knows the other.`
              : 'From the first value on, nothing is alike.'}
            {acknowledged && <Acknowledged machines={machines} />}
          </p>
        )}
      </div>
    </div>
  );
}

function Drawn({ machine, index }: { machine: Session | undefined; index: number }) {
  const name = machine === undefined ? `copy ${'AB'[index]}` : machine.name;
  if (machine === undefined)
    return (
      <div class="story-picture empty" aria-hidden="true">
        <span>{index === 0 ? '' : 'not copied yet'}</span>
      </div>
    );
  const { total } = machine.drawn.look.value;
  return (
    <figure class="story-picture">
      <Bitmap
        picture={machine.drawn}
        label={`${total} values of ${name}`}
        colour="--drawn"
        tall={TALL}
        least={TALL / 2}
      />
      <figcaption>{name}</figcaption>
    </figure>
  );
}

function Acknowledged({ machines }: { machines: readonly Session[] }) {
  const times = machines.map(({ acknowledged }) => acknowledged.value);
  if (times.some((time) => time === undefined)) return <> No acknowledgement has come yet.</>;
  return (
    <>
      {' '}
      Acknowledged after {times.map((time) => `${Math.round(time!)} ms`).join(' and ')}: both have reseeded.
    </>
  );
}
