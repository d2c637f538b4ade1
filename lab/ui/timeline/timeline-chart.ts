/** The timeline as a uPlot chart: its axes, zoom by drag, wheel and buttons; the events are drawn by `draw.ts`. */
import uPlot from 'uplot';
import 'uplot/dist/uPlot.min.css';
import { LANES, laneOf } from '../../model/lanes.ts';
import { nearest } from '../../model/reading.ts';
import { firstAfter } from '../../model/store.ts';
import type { Session } from '../../state/session.ts';
import { colours, onScheme } from '../scheme.ts';
import { drawEvents, fontOf, laneAt, spanOf } from './draw.ts';

const HEIGHT = 260;
const MIN_WIDTH = 200;
/** How far from the pointer an event may be, in pixels, to be meant by its row. */
const NEAR = 12;
/** Drawing may take this share of the time at most, and rests at least so many milliseconds in between. */
const MAX_SHARE = 0.1;
const REST_MS = 150;

interface Span {
  readonly min: number;
  readonly max: number;
}

export class TimelineChart {
  readonly #machine: Session;
  readonly #place: HTMLElement;
  readonly #read: (at: number) => void;
  readonly #rng: number | undefined;
  readonly #generation: number | undefined;
  readonly #plot: uPlot;
  readonly #closing: (() => void)[] = [];
  #paint = readColours();
  /** The zoomed span; `undefined` follows all events. */
  #window: Span | undefined;
  /** The event that is read, and whether by the keys: then the cursor stands at it, wherever the pointer is. */
  #at: number | undefined;
  #byKeys = false;
  #drawn = 0;
  #waiting = false;

  /** `read` is told which event the reader is at. */
  constructor(place: HTMLElement, machine: Session, read: (at: number) => void) {
    this.#place = place;
    this.#machine = machine;
    this.#read = read;
    const { settings } = machine;
    this.#rng = settings.rng ? settings.rngMsr : undefined;
    this.#generation = settings.generation ? settings.generationMsr : undefined;
    this.#plot = new uPlot(this.#options(), EMPTY(this.#span()), place);
    this.#listen();
  }

  /** Below 1 shows less time, above 1 more. */
  zoom(by: number, around?: number): void {
    const { min, max } = this.#span();
    const middle = around ?? (min + max) / 2;
    this.#show(middle - (middle - min) * by, middle + (max - middle) * by);
  }

  /** By a share of the visible span. */
  pan(by: number): void {
    const { min, max } = this.#span();
    this.#show(min + (max - min) * by, max + (max - min) * by);
  }

  all(): void {
    this.#show(0, Number.POSITIVE_INFINITY);
  }

  /** Shows the first scan. */
  scan(): void {
    const [first] = this.#machine.store.scans;
    if (first === undefined) return;
    const margin = Math.max(0.05, (first.end - first.start) / 4);
    this.#show(first.start - margin, first.end + margin);
  }

  /** Reads an event further on by so many, or the first that is shown. */
  step(by: number): void {
    const { store } = this.#machine;
    if (store.length === 0) return;
    const { min, max } = this.#span();
    const to = this.#at === undefined ? firstAfter(store.times, store.length, min) : this.#at + by;
    this.#at = Math.min(store.length - 1, Math.max(0, to));
    this.#byKeys = true;
    const time = store.times[this.#at]!;
    if (time < min || time > max) this.#show(time - (max - min) / 2, time + (max - min) / 2);
    this.#mark();
    this.#read(this.#at);
  }

  close(): void {
    for (const end of this.#closing) end();
    this.#plot.destroy();
  }

  #span(): Span {
    const { times, length } = this.#machine.store;
    return this.#window ?? { min: 0, max: Math.max(1, (times[length - 1] ?? 0) * 1.02) };
  }

  #show(min: number, max: number): void {
    this.#window = undefined;
    const all = this.#span();
    // A microsecond is less than a guest's clock can tell apart.
    const length = Math.min(all.max, Math.max(0.001, max - min));
    const start = Math.min(Math.max(0, min), all.max - length);
    if (length < all.max) this.#window = { min: start, max: start + length };
    this.#redraw();
  }

  #redraw(): void {
    this.#plot.setData(EMPTY(this.#span()), true);
    this.#mark();
  }

  #mark(): void {
    if (this.#at === undefined || !this.#byKeys) return;
    const { top, height } = spanOf(this.#laneOf(this.#at));
    const left = this.#plot.valToPos(this.#machine.store.times[this.#at]!, 'x');
    this.#plot.setCursor({ left, top: (top + height / 2) * this.#plot.over.clientHeight }, false);
  }

  #laneOf(at: number): number {
    const { ops, numbers } = this.#machine.store;
    return laneOf(ops[at]!, numbers[at]!, this.#rng, this.#generation);
  }

  #options(): uPlot.Options {
    return {
      width: Math.max(MIN_WIDTH, this.#place.clientWidth),
      height: HEIGHT,
      legend: { show: false },
      cursor: { y: false, points: { show: false }, drag: { x: true, y: false, setScale: false } },
      scales: {
        x: { time: false, range: () => [this.#span().min, this.#span().max] },
        y: { range: [0, 1] },
      },
      series: [{}, { show: true, points: { show: false }, paths: () => null }],
      axes: this.#axes(),
      hooks: { draw: [(self) => this.#draw(self)], setSelect: [(self) => this.#select(self)] },
    };
  }

  #axes(): uPlot.Axis[] {
    const stroke = () => this.#paint.text;
    const line = { stroke: () => this.#paint.grid, width: 1 };
    return [
      {
        stroke,
        grid: line,
        ticks: line,
        values: (_, splits) => timeTexts(splits),
        space: 75,
        size: 30,
      },
      {
        stroke,
        splits: () => LANES.map((_, lane) => 1 - spanOf(lane).top - spanOf(lane).height / 2),
        values: () => LANES.map(({ title }) => title),
        filter: (_, splits) => splits,
        grid: { show: false },
        ticks: { show: false },
        gap: 4,
        size: 84,
        font: fontOf(1),
      },
    ];
  }

  #draw({ bbox: { left, top, width, height }, ctx }: uPlot): void {
    const { min, max } = this.#span();
    drawEvents(this.#machine.store, {
      context: ctx,
      left,
      top,
      width,
      height,
      from: min,
      to: max,
      rng: this.#rng,
      generation: this.#generation,
      colours: this.#paint.lanes,
      dot: Math.max(1, Math.round(devicePixelRatio)),
    });
  }

  #select(plot: uPlot): void {
    const { left, width } = plot.select;
    if (width < 4) return;
    this.#show(plot.posToVal(left, 'x'), plot.posToVal(left + width, 'x'));
    plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
  }

  #listen(): void {
    const { over } = this.#plot;
    over.addEventListener('mousemove', (event) => this.#point(event));
    over.addEventListener('dblclick', () => this.all());
    over.addEventListener('wheel', (event) => this.#wheel(event), { passive: false });
    const sized = new ResizeObserver(() =>
      this.#plot.setSize({ width: Math.max(MIN_WIDTH, this.#place.clientWidth), height: HEIGHT }),
    );
    sized.observe(this.#place);
    this.#closing.push(
      this.#machine.grown.subscribe(() => this.#grow()),
      () => sized.disconnect(),
      onScheme(() => {
        this.#paint = readColours();
        this.#plot.redraw(false, true);
      }),
    );
  }

  #point({ offsetX, offsetY }: MouseEvent): void {
    const { min, max } = this.#span();
    const { clientWidth, clientHeight } = this.#plot.over;
    const lane = laneAt(offsetY / clientHeight);
    const within = ((max - min) / clientWidth) * NEAR;
    const time = this.#plot.posToVal(offsetX, 'x');
    const found = nearest(this.#machine.store, time, within, (at) => this.#laneOf(at) === lane);
    if (found === undefined) return;
    this.#at = found;
    this.#byKeys = false;
    this.#read(found);
  }

  #wheel(event: WheelEvent): void {
    // Without a key the page scrolls, as everywhere.
    if (!event.ctrlKey && !event.shiftKey) return;
    event.preventDefault();
    const around = this.#plot.posToVal(this.#plot.cursor.left ?? 0, 'x');
    this.zoom(event.deltaY + event.deltaX > 0 ? 1.25 : 0.8, around);
  }

  #grow(): void {
    if (this.#waiting) return;
    this.#waiting = true;
    requestAnimationFrame(() => {
      const begun = performance.now();
      const { store } = this.#machine;
      this.#redraw();
      this.#drawn = store.total;
      const rest = Math.max(REST_MS, (performance.now() - begun) / MAX_SHARE);
      setTimeout(() => {
        this.#waiting = false;
        if (this.#drawn !== store.total) requestAnimationFrame(() => this.#redraw());
      }, rest);
    });
  }
}

/** uPlot draws no series here: its data are the ends of the axis alone. */
const EMPTY = ({ min, max }: Span): uPlot.AlignedData => [
  [min, max],
  [null, null],
];

function readColours(): { lanes: readonly string[]; text: string; grid: string } {
  const [text, grid] = colours('--text-soft', '--line');
  const lanes = colours(...LANES.map(({ colour }) => colour), '--bad', '--text-soft', '--stripe');
  return { lanes, text: text!, grid: grid! };
}

/** Times in one unit, that of the longest. */
function timeTexts(milliseconds: readonly number[]): string[] {
  const longest = Math.max(...milliseconds.map(Math.abs));
  const [unit, factor] = longest >= 10_000 ? ['s', 0.001] : longest < 0.1 ? ['µs', 1000] : ['ms', 1];
  return milliseconds.map((time) => `${+(time * factor).toFixed(3)} ${unit}`);
}
