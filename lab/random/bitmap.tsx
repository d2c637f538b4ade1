/** Words as a bitmap: each word is 64 bits, two make a row, and a row more comes with every second word. */
import { useEffect, useRef } from 'preact/hooks';
import { colours, onScheme } from '../scheme.ts';
import { type Picture, SHOWN } from './picture.ts';

/** Bits a row; rows at first, and at most. */
const WIDTH = 128;
const LEAST = 48;
const MOST = (SHOWN * 64) / WIDTH;

export function Bitmap(props: { picture: Picture; label: string; colour: string; tall: number }) {
  const { picture, label, colour, tall } = props;
  const place = useRef<HTMLCanvasElement>(null);
  useEffect(() => {
    const context = place.current!.getContext('2d')!;
    let waiting = 0;
    const draw = () => {
      waiting = 0;
      paint(context, picture.words, colour, tall);
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
  }, [picture, colour, tall]);
  return <canvas ref={place} class="bitmap" width={WIDTH} height={LEAST} role="img" aria-label={label} />;
}

/** `tall`: how many values fit. */
function paint(
  context: CanvasRenderingContext2D,
  words: readonly bigint[],
  colour: string,
  tall: number,
): void {
  const [one, zero, none] = colours(colour, '--bit-zero', '--bit-none').map((name) => dotOf(context, name));
  const height = Math.min(MOST, Math.max(LEAST, Math.ceil((tall * 64) / WIDTH)));
  context.canvas.height = height;
  const pixels = context.createImageData(WIDTH, height);
  const dots = new Uint32Array(pixels.data.buffer);
  dots.fill(none!);
  for (const [i, word] of words.entries()) {
    const halves = [Number(word >> 32n), Number(word & 0xffff_ffffn)];
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
