/** A serial line as web streams: nothing gets lost in either direction, and neither side can fill up the other's memory. */
import { type Console, MachineError } from '../../cpu.ts';

/** The FIFO of a 16550A: with more at once, a guest's driver would drop the rest. */
const FIFO = 16;
/** Output that nobody has read yet; then the guest waits. */
const UNREAD = 1 << 20;
const CHUNK = 1 << 16;

interface Input {
  readonly bytes: Uint8Array;
  at: number;
  /** The guest's end of the line has taken it. */
  readonly done: () => void;
}

export class ConsoleLine {
  readonly console: Console;
  readonly #wake: () => void;
  #output = new Uint8Array(256);
  #length = 0;
  #reader: ReadableStreamDefaultController<Uint8Array> | undefined;
  readonly #input: Input[] = [];
  #writer: WritableStreamDefaultController | undefined;

  /** `wake` is called when there is input, or room for output, again. */
  constructor(wake: () => void) {
    this.#wake = wake;
    this.console = { readable: this.#readable(), writable: this.#writable() };
  }

  /** A byte out of the guest. */
  sent(byte: number): void {
    if (this.#length === this.#output.length) {
      const larger = new Uint8Array(this.#length * 2);
      larger.set(this.#output);
      this.#output = larger;
    }
    this.#output[this.#length++] = byte;
    if (this.#length === CHUNK) this.flush();
  }

  /** Delivers the guest's output. */
  flush(): void {
    if (this.#length > 0) this.#reader?.enqueue(this.#output.slice(0, this.#length));
    this.#length = 0;
  }

  /** The reader is behind: the guest should wait. */
  get full(): boolean {
    return (this.#reader?.desiredSize ?? 1) <= 0;
  }

  /** Input is waiting. */
  get waiting(): boolean {
    return this.#input.length > 0;
  }

  /** Takes input for a FIFO that already holds `level` bytes. */
  take(level: number): Uint8Array {
    const taken: number[] = [];
    const input = this.#input;
    for (let first = input[0]; first !== undefined && level + taken.length < FIFO; first = input[0]) {
      taken.push(first.bytes[first.at++]!);
      if (first.at < first.bytes.length) continue;
      input.shift();
      first.done();
    }
    return Uint8Array.from(taken);
  }

  /** The machine is no more: ends both streams. */
  close(): void {
    this.flush();
    this.#reader?.close();
    this.#reader = undefined;
    this.#drop();
    this.#writer?.error(new MachineError('the machine has ended', { code: 'ended' }));
    this.#writer = undefined;
  }

  #drop(): void {
    for (const { done } of this.#input.splice(0)) done();
  }

  #readable(): ReadableStream<Uint8Array> {
    return new ReadableStream<Uint8Array>(
      {
        start: (controller) => {
          this.#reader = controller;
        },
        pull: () => this.#wake(),
        // Nobody wants it any more: the guest talks to an unplugged cable.
        cancel: () => {
          this.#reader = undefined;
        },
      },
      { highWaterMark: UNREAD, size: (chunk) => chunk.length },
    );
  }

  #writable(): WritableStream<Uint8Array> {
    return new WritableStream<Uint8Array>({
      start: (controller) => {
        this.#writer = controller;
      },
      write: (bytes) => {
        if (!(bytes instanceof Uint8Array)) throw new TypeError('console: expected a Uint8Array');
        if (bytes.length === 0) return undefined;
        const copy = new Uint8Array(bytes); // a Buffer's `slice` would be no copy
        return new Promise<void>((done) => {
          this.#input.push({ bytes: copy, at: 0, done });
          this.#wake();
        });
      },
      abort: () => this.#drop(),
    });
  }
}
