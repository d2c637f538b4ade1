/** Every CPUID of two guests as a dot: the scan, and discovery. */
import { useEffect, useState } from 'preact/hooks';
import type { Session } from '../../state/session.ts';
import { player } from '../../state/stories.ts';

/** Dots that appear each frame, so that the eye can follow. */
const DOTS_A_FRAME = 4;

export function ScanFigure() {
  const { first, second } = player.machines.value;
  const at = player.at.value;
  return (
    <>
      <Dots title="Without CommonHV" machine={first} />
      <Dots title="With CommonHV" machine={at >= 1 ? second : undefined} />
      {at >= 1 && first && second && <Comparison without={costOf(first)} told={costOf(second)} />}
    </>
  );
}

/** Of discovery; `undefined` until the guest has looked. */
function costOf(machine: Session): number | undefined {
  return machine.seen.value?.detection.cost.cpuid;
}

function Dots({ title, machine }: { title: string; machine: Session | undefined }) {
  const cost = machine && costOf(machine);
  const dots = useGrowing(cost ?? 0);
  return (
    <div class={cost === undefined ? 'story-dots later' : 'story-dots'}>
      <h3>{title}</h3>
      <div
        class="dots"
        role="img"
        aria-label={cost === undefined ? 'nothing was asked yet' : `${cost} CPUIDs`}
      >
        {Array.from({ length: dots }, (_, i) => (
          <i key={i} />
        ))}
      </div>
      <p class="count">
        {cost === undefined
          ? '…'
          : `${cost} CPUIDs${machine?.settings.commonhv ? '' : ', 256 of them the scan'}, each an exit from the guest`}
      </p>
    </div>
  );
}

/** Counts up to a number, or is there at once for those who want no motion. */
function useGrowing(to: number): number {
  const [now, setNow] = useState(0);
  useEffect(() => {
    if (to === 0 || matchMedia('(prefers-reduced-motion: reduce)').matches) return setNow(to);
    let shown = 0;
    let frame = 0;
    const grow = () => {
      shown = Math.min(to, shown + DOTS_A_FRAME);
      setNow(shown);
      if (shown < to) frame = requestAnimationFrame(grow);
    };
    grow();
    return () => cancelAnimationFrame(frame);
  }, [to]);
  return Math.min(now, to);
}

function Comparison({ without, told }: { without: number | undefined; told: number | undefined }) {
  if (without === undefined || told === undefined) return null;
  return (
    <p class="verdict well" role="status">
      <strong>
        {told} questions instead of {without}.
      </strong>{' '}
      And the list names every interface in the hypervisor’s order, where a search finds only those that the
      guest knows.
    </p>
  );
}
