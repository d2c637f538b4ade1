/** A serial line as web streams: nothing gets lost in either direction, and neither side can fill up the other's memory. */
import { type Console, MachineError } from '../../cpu.ts';

/** The FIFO of a 16550A: with more at once, a guest's driver would drop the rest. */
const FIFO = 16;
/** Output that nobody has read yet; then the guest waits. */
const UNREAD = 1 << 20;
const CHUNK = 1 << 16;

export interface ConsoleLine {
  readonly console: Console;
  /** A byte out of the guest. */
  sent(byte: number): void;
  /** Delivers the guest's output. */
  flush(): void;
  /** The reader is behind: the guest should wait. */
  full(): boolean;
  /** Input is waiting. */
  waiting(): boolean;
  /** Takes input for a FIFO that already holds `level` bytes. */
  take(level: number): Uint8Array;
  /** The machine is no more: ends both streams. */
  close(): void;
}

/** `wake` is called when there is input, or room for output, again. */
export function makeLine(wake: () => void): ConsoleLine {
  let output = new Uint8Array(256);
  let length = 0;
  let reader: ReadableStreamDefaultController<Uint8Array> | undefined;
  const input: { readonly bytes: Uint8Array; at: number; readonly done: () => void }[] = [];
  let writer: WritableStreamDefaultController | undefined;

  const flush = () => {
    if (length > 0) reader?.enqueue(output.slice(0, length));
    length = 0;
  };

  const readable = new ReadableStream<Uint8Array>(
    {
      start(controller) {
        reader = controller;
      },
      pull: wake,
      // Nobody wants it any more: the guest talks to an unplugged cable.
      cancel() {
        reader = undefined;
      },
    },
    { highWaterMark: UNREAD, size: (chunk) => chunk.length },
  );
  const writable = new WritableStream<Uint8Array>({
    start(controller) {
      writer = controller;
    },
    write(bytes) {
      if (!(bytes instanceof Uint8Array)) throw new TypeError('console: expected a Uint8Array');
      if (bytes.length === 0) return undefined;
      const copy = new Uint8Array(bytes); // a Buffer's `slice` would be no copy
      return new Promise<void>((done) => {
        input.push({ bytes: copy, at: 0, done });
        wake();
      });
    },
    abort() {
      for (const { done } of input.splice(0)) done();
    },
  });

  return {
    console: { readable, writable },
    sent(byte) {
      if (length === output.length) {
        const larger = new Uint8Array(length * 2);
        larger.set(output);
        output = larger;
      }
      output[length++] = byte;
      if (length === CHUNK) flush();
    },
    flush,
    full: () => (reader?.desiredSize ?? 1) <= 0,
    waiting: () => input.length > 0,
    take(level) {
      const taken: number[] = [];
      for (let first = input[0]; first !== undefined && level + taken.length < FIFO; first = input[0]) {
        taken.push(first.bytes[first.at++]!);
        if (first.at < first.bytes.length) continue;
        input.shift();
        first.done();
      }
      return Uint8Array.from(taken);
    },
    close() {
      flush();
      reader?.close();
      reader = undefined;
      for (const { done } of input.splice(0)) done();
      writer?.error(new MachineError('the machine has ended', { code: 'ended' }));
      writer = undefined;
    },
  };
}
