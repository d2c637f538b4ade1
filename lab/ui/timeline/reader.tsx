/** The chart, and beneath it the event that the pointer or the arrow keys are at. */
import { useLayoutEffect, useState } from 'preact/hooks';
import { eventText } from '../../model/reading.ts';
import type { Session } from '../../state/session.ts';
import { Chart } from './chart.tsx';
import type { TimelineChart } from './timeline-chart.ts';

/** By how many events a key goes; a slider's keys, since the chart is a slider to a screen reader. */
const STEPS: Readonly<Record<string, number>> = {
  ArrowLeft: -1,
  ArrowDown: -1,
  ArrowRight: 1,
  ArrowUp: 1,
  PageDown: -100,
  PageUp: 100,
  Home: Number.NEGATIVE_INFINITY,
  End: Number.POSITIVE_INFINITY,
};

export function Reader({
  machine,
  handle,
}: {
  machine: Session;
  handle(handle: TimelineChart | undefined): void;
}) {
  const [at, read] = useState<number>();
  const [chart, setChart] = useState<TimelineChart>();
  useLayoutEffect(() => read(undefined), [machine]);
  const text = at === undefined ? undefined : eventText(machine.store, at);
  return (
    <>
      <div
        class="reader"
        role="slider"
        tabIndex={0}
        aria-label="The guest’s accesses over time"
        aria-valuemin={0}
        aria-valuemax={Math.max(0, machine.store.length - 1)}
        aria-valuenow={at ?? 0}
        aria-valuetext={text ?? 'no event yet'}
        onFocus={() => {
          if (at === undefined) chart?.step(0);
        }}
        onKeyDown={(event) => {
          const by = STEPS[event.key];
          if (by === undefined) return;
          event.preventDefault();
          chart?.step(by);
        }}
      >
        <Chart
          machine={machine}
          handle={(made) => {
            setChart(made);
            handle(made);
          }}
          read={read}
        />
      </div>
      <p class="hint readout">
        {text ?? 'Point at an event, or go from one to the next with the arrow keys.'}
      </p>
    </>
  );
}
