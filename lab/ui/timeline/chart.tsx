/** The timeline's place in the page. */
import { useEffect, useRef } from 'preact/hooks';
import type { Session } from '../../state/session.ts';
import { TimelineChart } from './timeline-chart.ts';

export function Chart(props: {
  machine: Session;
  /** Gets the chart when it is there, and `undefined` when it is gone. */
  handle(chart: TimelineChart | undefined): void;
  /** Told which event the reader is at. */
  read(at: number): void;
}) {
  const { machine, handle, read } = props;
  const place = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const chart = new TimelineChart(place.current!, machine, read);
    handle(chart);
    return () => {
      handle(undefined);
      chart.close();
    };
  }, [machine]);
  return <div class="chart" ref={place} />;
}
