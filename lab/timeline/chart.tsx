/** The timeline as a uPlot chart: its axes, zoom by drag, wheel and buttons; the events are drawn by `draw.ts`. */
import { useEffect, useRef } from 'preact/hooks';
import uPlot from 'uplot';
import 'uplot/dist/uPlot.min.css';
import type { Session } from '../machine/session.ts';
import { colours, onScheme } from '../scheme.ts';
import { drawEvents, fontOf, laneAt, spanOf } from './draw.ts';
import { LANES, laneOf } from './lanes.ts';
import { nearest } from './reading.ts';
import { firstAfter } from './store.ts';

export interface ChartHandle {
  /** Below 1 shows less time, above 1 more. */
  zoom(by: number): void;
  /** By a share of the visible span. */
  pan(by: number): void;
  all(): void;
  /** The first of the scanes. */
  search(): void;
  /** Reads an event further on by so many, or the first that is shown. */
  step(by: number): void;
}

const HEIGHT = 260;
/** How far from the pointer an event may be, in pixels, to be meant by its row. */
const NEAR = 12;
/** Drawing may take this share of the time at most, and rests at least so many milliseconds in between. */
const SHARE = 0.1;
const REST = 150;

export function Chart({
  machine,
  handle,
  read,
}: {
  machine: Session;
  handle(handle: ChartHandle | undefined): void;
  /** Told which event the reader is at. */
  read(at: number): void;
}) {
  const place = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const chart = open(place.current!, machine, read);
    handle(chart.handle);
    return () => {
      handle(undefined);
      chart.close();
    };
  }, [machine]);
  return <div class="chart" ref={place} />;
}

function open(
  place: HTMLElement,
  machine: Session,
  read: (at: number) => void,
): { handle: ChartHandle; close(): void } {
  const { store, settings } = machine;
  const rng = settings.rng ? settings.rngMsr : undefined;
  const generation = settings.generation ? settings.generationMsr : undefined;
  let paint = readColours();
  /** The zoomed span; `undefined` follows all events. */
  let window: { min: number; max: number } | undefined;
  const whole = () => ({ min: 0, max: Math.max(1, (store.times[store.length - 1] ?? 0) * 1.02) });

  const plot = new uPlot(
    {
      width: Math.max(200, place.clientWidth),
      height: HEIGHT,
      legend: { show: false },
      cursor: { y: false, points: { show: false }, drag: { x: true, y: false, setScale: false } },
      scales: { x: { time: false, range: () => bounds() }, y: { range: [0, 1] } },
      series: [{}, { show: true, points: { show: false }, paths: () => null }],
      axes: [
        {
          stroke: () => paint.text,
          grid: { stroke: () => paint.grid, width: 1 },
          ticks: { stroke: () => paint.grid, width: 1 },
          values: (_, splits) => splits.map(timeText),
          space: 75,
          size: 30,
        },
        {
          stroke: () => paint.text,
          splits: () => LANES.map((_, lane) => 1 - spanOf(lane).top - spanOf(lane).height / 2),
          values: () => LANES.map(({ title }) => title),
          filter: (_, splits) => splits,
          grid: { show: false },
          ticks: { show: false },
          gap: 4,
          size: 84,
          font: fontOf(1),
        },
      ],
      hooks: {
        draw: [
          (self) => {
            const { left, top, width, height } = self.bbox;
            const { min, max } = bounds();
            const dot = Math.max(1, Math.round(devicePixelRatio));
            drawEvents(store, {
              context: self.ctx,
              left,
              top,
              width,
              height,
              from: min,
              to: max,
              rng,
              generation,
              colours: paint.lanes,
              dot,
            });
          },
        ],
        setSelect: [
          (self) => {
            if (self.select.width < 4) return;
            show(
              self.posToVal(self.select.left, 'x'),
              self.posToVal(self.select.left + self.select.width, 'x'),
            );
            self.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
          },
        ],
      },
    },
    [
      [0, 1],
      [null, null],
    ],
    place,
  );

  function bounds(): [number, number] & { min: number; max: number } {
    const { min, max } = window ?? whole();
    return Object.assign([min, max] as [number, number], { min, max });
  }
  function show(min: number, max: number): void {
    const all = whole();
    // A microsecond is less than a guest's clock can tell apart.
    const length = Math.min(all.max, Math.max(0.001, max - min));
    const start = Math.min(Math.max(0, min), all.max - length);
    window = length >= all.max ? undefined : { min: start, max: start + length };
    redraw();
  }
  function zoom(by: number, around?: number): void {
    const { min, max } = bounds();
    const middle = around ?? (min + max) / 2;
    show(middle - (middle - min) * by, middle + (max - middle) * by);
  }
  function redraw(): void {
    plot.setData(
      [
        [bounds().min, bounds().max],
        [null, null],
      ],
      true,
    );
    mark();
  }

  /** The event that is read, and whether by the keys: then the cursor stands at it, wherever the pointer is. */
  let at: number | undefined;
  let byKeys = false;
  function mark(): void {
    if (at === undefined || !byKeys) return;
    const { top, height } = spanOf(laneOf(store.ops[at]!, store.numbers[at]!, rng, generation));
    const left = plot.valToPos(store.times[at]!, 'x');
    plot.setCursor({ left, top: (top + height / 2) * plot.over.clientHeight }, false);
  }
  function step(by: number): void {
    if (store.length === 0) return;
    const { min, max } = bounds();
    const to = at === undefined ? firstAfter(store.times, store.length, min) : at + by;
    at = Math.min(store.length - 1, Math.max(0, to));
    byKeys = true;
    const time = store.times[at]!;
    if (time < min || time > max) show(time - (max - min) / 2, time + (max - min) / 2);
    mark();
    read(at);
  }
  plot.over.addEventListener('mousemove', ({ offsetX, offsetY }) => {
    const { min, max } = bounds();
    const { clientWidth, clientHeight } = plot.over;
    const lane = laneAt(offsetY / clientHeight);
    const found = nearest(
      store,
      plot.posToVal(offsetX, 'x'),
      ((max - min) / clientWidth) * NEAR,
      (i) => laneOf(store.ops[i]!, store.numbers[i]!, rng, generation) === lane,
    );
    if (found === undefined) return;
    at = found;
    byKeys = false;
    read(at);
  });

  plot.over.addEventListener('dblclick', () => show(0, Number.POSITIVE_INFINITY));
  plot.over.addEventListener(
    'wheel',
    (event) => {
      // Without a key the page scrolls, as everywhere.
      if (!event.ctrlKey && !event.shiftKey) return;
      event.preventDefault();
      zoom(event.deltaY + event.deltaX > 0 ? 1.25 : 0.8, plot.posToVal(plot.cursor.left ?? 0, 'x'));
    },
    { passive: false },
  );

  let waiting = false;
  const grown = machine.grown.subscribe(() => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => {
      const begun = performance.now();
      redraw();
      setTimeout(
        () => {
          waiting = false;
          if (drawn !== store.total) later();
        },
        Math.max(REST, (performance.now() - begun) / SHARE),
      );
      drawn = store.total;
    });
  });
  let drawn = 0;
  const later = () => requestAnimationFrame(redraw);
  const sized = new ResizeObserver(() =>
    plot.setSize({ width: Math.max(200, place.clientWidth), height: HEIGHT }),
  );
  sized.observe(place);
  const schemed = onScheme(() => {
    paint = readColours();
    plot.redraw(false, true);
  });
  return {
    handle: {
      zoom,
      pan(by) {
        const { min, max } = bounds();
        show(min + (max - min) * by, max + (max - min) * by);
      },
      all: () => show(0, Number.POSITIVE_INFINITY),
      step,
      search() {
        const [first] = store.scans;
        if (first === undefined) return;
        const margin = Math.max(0.05, (first.end - first.start) / 4);
        show(first.start - margin, first.end + margin);
      },
    },
    close() {
      grown();
      sized.disconnect();
      schemed();
      plot.destroy();
    },
  };
}

function readColours(): { lanes: readonly string[]; text: string; grid: string } {
  const [text, grid] = colours('--text-soft', '--line');
  const lanes = colours(...LANES.map(({ colour }) => colour), '--bad', '--text-soft', '--stripe');
  return { lanes, text: text!, grid: grid! };
}

function timeText(milliseconds: number): string {
  if (milliseconds >= 10_000) return `${+(milliseconds / 1000).toFixed(3)} s`;
  return milliseconds !== 0 && Math.abs(milliseconds) < 0.1
    ? `${+(milliseconds * 1000).toFixed(3)} µs`
    : `${+milliseconds.toFixed(3)} ms`;
}
