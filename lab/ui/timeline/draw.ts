/** Draws the store's events into a plot: one mark for whatever falls on the same dot, so that a million cost a scan of columns. */

import { LANES, laneOf, placeOf } from '../../model/lanes.ts';
import { FAULTED } from '../../model/protocol.ts';
import { firstAfter, type Store } from '../../model/store.ts';

export interface Frame {
  readonly context: CanvasRenderingContext2D;
  /** The plot's inside, in canvas dots. */
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
  /** Milliseconds at the left and right edge. */
  readonly from: number;
  readonly to: number;
  readonly rng: number | undefined;
  readonly generation: number | undefined;
  /** One a lane, then that of faults, of the brackets over scans, and of every second lane's ground. */
  readonly colours: readonly string[];
  readonly dot: number;
}

/** Labels beside the lanes, and above scans. */
export const fontOf = (dot: number): string => `${12 * dot}px system-ui, sans-serif`;

const SHARES = LANES.reduce((sum, { height }) => sum + height, 0);

/** Top and height of a lane as shares of the plot. */
export function spanOf(lane: number): { top: number; height: number } {
  let top = 0;
  for (let i = 0; i < lane; i++) top += LANES[i]!.height;
  return { top: top / SHARES, height: LANES[lane]!.height / SHARES };
}

const SPANS = LANES.map((_, lane) => spanOf(lane));

export function drawEvents(store: Store, frame: Frame): void {
  const { context, left, top, width, height, from, to, colours, dot } = frame;
  const scale = width / (to - from);
  const columns = Math.max(1, Math.ceil(width / dot));
  // How many events of a lane fall into a column, and whether a fault is among them.
  const counts = new Uint32Array(LANES.length * columns);
  const faults = new Uint8Array(LANES.length * columns);
  const ramp = new Set<number>();
  const { times, ops, numbers } = store;
  const last = firstAfter(times, store.length, to);
  for (let i = firstAfter(times, store.length, from); i < last; i++) {
    const column = Math.min(columns - 1, Math.max(0, Math.floor(((times[i]! - from) * scale) / dot)));
    const op = ops[i]!;
    const number = numbers[i]!;
    const lane = laneOf(op, number, frame.rng, frame.generation);
    counts[lane * columns + column]!++;
    if (op & FAULTED) faults[lane * columns + column] = 1;
    if (lane === 1 && ramp.size < 4 * columns) {
      ramp.add(column * 64 + Math.floor(placeOf(lane, number) * 63));
    }
  }
  context.save();
  stripes(frame);
  for (const [lane, { top: share, height: tall }] of SPANS.entries()) {
    const y = top + share * height;
    const h = tall * height;
    context.fillStyle = colours[lane]!;
    if (lane === 1) {
      for (const place of ramp) {
        const up = (place % 64) / 63;
        context.fillRect(left + Math.floor(place / 64) * dot, y + (h - 3 * dot) * (1 - up), dot, 3 * dot);
      }
      continue;
    }
    for (let column = 0; column < columns; column++) {
      const count = counts[lane * columns + column]!;
      if (count === 0) continue;
      context.fillStyle = faults[lane * columns + column] ? colours[LANES.length]! : colours[lane]!;
      // More of them in one column stand taller, by powers of two.
      const tallness = Math.min(0.9, 0.35 + 0.06 * Math.log2(count));
      context.fillRect(left + column * dot, y + h * (1 - tallness) - 1, dot, h * tallness);
    }
  }
  drawScans(store, frame);
  context.restore();
}

/** Every second lane on a faint ground, so that the eye keeps to its row. */
function stripes({ context, left, top, width, height, colours }: Frame): void {
  context.fillStyle = colours[LANES.length + 2]!;
  for (const [lane, { top: share, height: tall }] of SPANS.entries()) {
    if (lane % 2 === 1) context.fillRect(left, top + share * height, width, tall * height);
  }
}

/** A bracket over each scan, with its length where there is room. */
function drawScans(store: Store, frame: Frame): void {
  const { context, left, top, width, height, from, to, colours, dot } = frame;
  const span = SPANS[1]!;
  context.fillStyle = colours[LANES.length + 1]!;
  // The axis's own: a browser asks another process about a font of another size, and this one waits.
  context.font = fontOf(dot);
  context.textAlign = 'left';
  context.textBaseline = 'alphabetic';
  for (const { start, end, steps } of store.scans) {
    if (end < from || start > to) continue;
    const x = left + Math.max(0, ((start - from) / (to - from)) * width);
    const wide = Math.max(2 * dot, left + Math.min(width, ((end - from) / (to - from)) * width) - x);
    const y = top + span.top * height + dot;
    context.fillRect(x, y, wide, dot);
    const label = `scan: ${steps} CPUIDs`;
    const pad = 5 * dot;
    const size = context.measureText(label).width;
    // Under a wide bracket, before a narrow one, where the ramp is not; else after it, and never beyond the chart.
    const before = x - pad - size;
    const after = Math.min(x + wide + pad, left + width - size);
    const at = wide > size + 2 * pad ? x + pad : before > left ? before : after;
    context.fillText(label, at, y + 13 * dot);
  }
}

/** The lane at a share of the plot's height. */
export function laneAt(share: number): number {
  return SPANS.findIndex(({ top, height }) => share < top + height);
}
