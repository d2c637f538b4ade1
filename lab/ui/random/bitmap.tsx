/** Values as a bitmap: each is 64 bits, two make a row, and a row more comes with every second value. */
import { useEffect, useRef } from 'preact/hooks';
import { type Picture, SHOWN } from '../../state/picture.ts';
import { colours, onScheme } from '../scheme.ts';

/** Bits a row; rows at first, and at most. */
const WIDTH = 128;
const MIN_ROWS = 48;
const MAX_ROWS = (SHOWN * 64) / WIDTH;

export function Bitmap(props: {
  picture: Picture;
  label: string;
  colour: string;
  /** How many values fit. */
  tall: number;
  /** Rows at least. */
  least?: number;
}) {
  const { picture, label, colour, tall, least = MIN_ROWS } = props;
  const place = useRef<HTMLCanvasElement>(null);
  useEffect(() => {
    const context = place.current!.getContext('2d')!;
    let waiting = 0;
    const draw = () => {
      waiting = 0;
      paint(context, picture.values, colour, Math.max(least, Math.ceil((tall * 64) / WIDTH)));
    };
    const soon = () => {
      waiting ||= requestAnimationFrame(draw);
    };
    const watched = picture.look.subscribe(soon);
    const schemed = onScheme(soon);
    return () => {
      cancelAnimationFrame(waiting);
      watched();
      schemed();
    };
  }, [picture, colour, tall, least]);
  return <canvas ref={place} class="bitmap" width={WIDTH} height={least} role="img" aria-label={label} />;
}

function paint(
  context: CanvasRenderingContext2D,
  values: readonly bigint[],
  colour: string,
  rows: number,
): void {
  const [one, zero, none] = colours(colour, '--bit-zero', '--bit-none').map((name) => dotOf(context, name));
  const height = Math.min(MAX_ROWS, rows);
  context.canvas.height = height;
  const pixels = context.createImageData(WIDTH, height);
  const dots = new Uint32Array(pixels.data.buffer);
  dots.fill(none!);
  for (const [i, value] of values.entries()) {
    const halves = [Number(value >> 32n), Number(value & 0xffff_ffffn)];
    for (let bit = 0; bit < 64; bit++) {
      const on = (halves[bit >> 5]! >>> (31 - (bit & 31))) & 1;
      dots[i * 64 + bit] = on ? one! : zero!;
    }
  }
  context.putImageData(pixels, 0, 0);
}

/** A colour as a canvas holds it: alpha, blue, green, red from the top byte down, on every machine that runs browsers. */
function dotOf(context: CanvasRenderingContext2D, colour: string): number {
  // The canvas turns whatever CSS takes for a colour into `#rrggbb`.
  context.fillStyle = colour;
  const value = Number.parseInt(String(context.fillStyle).slice(1), 16);
  return ((0xff << 24) | ((value & 0xff) << 16) | (value & 0xff00) | (value >> 16)) >>> 0;
}
