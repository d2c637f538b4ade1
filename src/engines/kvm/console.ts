/** The caller's end of a serial line, as web streams. */
import type { Console } from '../../cpu.ts';
import type { LineBuffers } from './job.ts';
import { ring, ringBuffer } from './ring.ts';

export interface Line {
  readonly buffers: LineBuffers;
  readonly console: Console;
  /** The guest's end says that there is output, or room for input. */
  heard(kind: 'output' | 'room'): void;
  /** Hands out what is left, and closes both streams. */
  end(): void;
}

const OUTPUT = 1 << 16;
const INPUT = 1 << 12;
const CHUNK = 1 << 14;

/** `rang` is called when input was put on the line. */
export function line(rang: () => void): Line {
  const buffers = { out: ringBuffer(OUTPUT), in: ringBuffer(INPUT) };
  const out = ring(buffers.out);
  const input = ring(buffers.in);
  let over = false;
  let read!: ReadableStreamDefaultController<Uint8Array>;
  let refuse!: WritableStreamDefaultController;
  let proceed: (() => void) | undefined;
  let cancelled = false;

  /** What a reader does not take stays in the ring, which is what holds the guest. */
  function drain(): void {
    out.lower('rung');
    while (out.size() > 0 && (cancelled || (read.desiredSize ?? 0) > 0 || over)) {
      const bytes = out.takeAll(CHUNK);
      if (!cancelled) read.enqueue(bytes);
    }
  }
  const readable = new ReadableStream<Uint8Array>(
    {
      start(controller) {
        read = controller;
      },
      pull: drain,
      cancel() {
        cancelled = true; // nobody will read any more: the guest may write on, into nothing
        drain();
      },
    },
    { highWaterMark: OUTPUT, size: (chunk) => chunk.length },
  );
  const writable = new WritableStream<Uint8Array>({
    start(controller) {
      refuse = controller;
    },
    async write(bytes) {
      for (let at = 0; at < bytes.length; ) {
        if (over) return;
        if (input.put(bytes[at]!)) {
          at++;
          continue;
        }
        rang();
        const room = new Promise<void>((resolve) => {
          proceed = resolve;
        });
        input.raise('wanted');
        // The guest may have taken all of it before the flag was up.
        if (input.size() < input.capacity / 2 && input.lower('wanted')) continue;
        await room;
      }
      rang();
    },
  });
  return {
    buffers,
    console: { readable, writable },
    heard(kind) {
      if (kind === 'output') drain();
      else proceed?.();
    },
    end() {
      if (over) return;
      over = true;
      drain();
      if (!cancelled) read.close();
      proceed?.();
      refuse.error(new Error('the machine has ended'));
      input.wake();
      out.wake();
    },
  };
}
