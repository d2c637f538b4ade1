/** The guest's end of a serial line whose other end is in the caller's thread. */
import type { LineBuffers } from './job.ts';
import { OVER } from './mailbox.ts';
import { ring } from './ring.ts';
import type { Wire } from './uart.ts';

export interface WireOptions {
  /** Tells the other end that there are bytes, or room. */
  readonly report: (kind: 'output' | 'room') => void;
  /** Whether the machine is to stop. A wait looks at it every 50 ms, and ends by throwing `OVER`. */
  readonly over: () => boolean;
  /** Whether a guest that polls a silent line may be put to sleep: where it cannot be waiting for an interrupt as well. */
  readonly drowsy: boolean;
}

const POLLS = 256;
const POLLING_MILLISECONDS = 50;
const LONGEST_SLEEP = 40;

const NEWLINE = 0x0a;

/**
 * The other end hears of output by the line: at a line's end, when the guest asks for input, when the line is full, and
 * when `flush` is called, which happens every 50 ms. A message for every byte would cost more than the byte.
 *
 * A full line holds the guest until somebody reads it: nothing is lost, and what is buffered stays bounded. A guest
 * that does nothing but ask an empty line for input sleeps, ever longer up to 40 ms, until the first byte comes.
 */
export function wire(line: LineBuffers, { report, over, drowsy }: WireOptions): Wire & { flush(): void } {
  const out = ring(line.out);
  const input = ring(line.in);
  let polls = 0;
  let since = 0;
  let sleep = 1;
  const awake = (): void => {
    polls = 0;
    sleep = 1;
  };
  /** The guest looked for input, and there was none. */
  function starve(): void {
    if (polls++ === 0) since = performance.now();
    // A look before each byte that it puts is no waiting.
    else flush();
    if (polls < POLLS) return;
    polls = 0;
    if (!drowsy) return;
    if (performance.now() - since > POLLING_MILLISECONDS) return;
    input.awaitByte(sleep);
    sleep = Math.min(sleep * 2, LONGEST_SLEEP);
  }
  let silent = false; // there is output that nobody was told of
  function flush(): void {
    if (!silent) return;
    silent = false;
    if (out.raise('rung')) report('output');
  }
  return {
    put(byte) {
      awake();
      while (!out.put(byte)) {
        flush();
        if (over()) throw OVER;
        out.awaitRoom(50);
      }
      silent = true;
      if (byte === NEWLINE) flush();
    },
    take() {
      awake();
      const byte = input.take();
      if (input.size() <= input.capacity / 2 && input.lower('wanted')) report('room');
      return byte;
    },
    ready() {
      const some = input.size() > 0;
      if (!some) starve();
      return some;
    },
    flush,
  };
}
