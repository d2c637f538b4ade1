/** The caller's end of a serial line, as web streams. */
import type { Console } from '../../cpu.ts';
import { DEVICE_STATE } from './ports.ts';
import { RingBuffer } from './ring-buffer.ts';
import type { SerialBuffers } from './task.ts';

const OUTPUT = 1 << 16;
const INPUT = 1 << 12;
const CHUNK = 1 << 14;

export class SerialConsole {
  readonly buffers: SerialBuffers = {
    out: RingBuffer.allocate(OUTPUT),
    in: RingBuffer.allocate(INPUT),
    state: new SharedArrayBuffer(DEVICE_STATE),
  };
  readonly console: Console;
  readonly #out = new RingBuffer(this.buffers.out);
  readonly #in = new RingBuffer(this.buffers.in);
  readonly #onInput: () => void;
  #reader!: ReadableStreamDefaultController<Uint8Array>;
  #writer!: WritableStreamDefaultController;
  #continueWrite: (() => void) | undefined;
  #cancelled = false;
  #ended = false;

  /** `onInput` is called when input was put on the line. */
  constructor(onInput: () => void) {
    this.#onInput = onInput;
    this.console = { readable: this.#makeReadable(), writable: this.#makeWritable() };
  }

  /** The guest's end has output, or room for input. */
  onMessage(kind: 'output' | 'room'): void {
    if (kind === 'output') this.#drain();
    else this.#continueWrite?.();
  }

  /** The state of a saved machine's line: its devices, and input that the guest has not read yet. */
  save(): SavedSerial {
    return { state: new Uint8Array(this.buffers.state).slice(), input: this.#in.peek() };
  }

  /** Replaces the state. The thread of the guest's end must be out of its guest. */
  restore({ state, input }: SavedSerial): void {
    new Uint8Array(this.buffers.state).set(state);
    this.#in.takeAll(this.#in.capacity);
    for (const byte of input) this.#in.put(byte);
    this.#continueWrite?.();
  }

  /** Delivers the remaining output, and closes both streams. */
  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#drain();
    if (!this.#cancelled) this.#reader.close();
    this.#continueWrite?.();
    this.#writer.error(new Error('the machine has ended'));
    this.#in.wake();
    this.#out.wake();
  }

  #makeReadable(): ReadableStream<Uint8Array> {
    return new ReadableStream<Uint8Array>(
      {
        start: (controller) => {
          this.#reader = controller;
        },
        pull: () => this.#drain(),
        cancel: () => {
          this.#cancelled = true; // from now on output is dropped, and does not hold the guest
          this.#drain();
        },
      },
      { highWaterMark: OUTPUT, size: (chunk) => chunk.length },
    );
  }

  #makeWritable(): WritableStream<Uint8Array> {
    return new WritableStream<Uint8Array>({
      start: (controller) => {
        this.#writer = controller;
      },
      write: (bytes) => this.#write(bytes),
    });
  }

  /** Output that the reader does not take stays in the ring, which holds the guest. */
  #drain(): void {
    this.#out.lower('notified');
    while (this.#out.size > 0 && (this.#cancelled || (this.#reader.desiredSize ?? 0) > 0 || this.#ended)) {
      const bytes = this.#out.takeAll(CHUNK);
      if (!this.#cancelled) this.#reader.enqueue(bytes);
    }
  }

  async #write(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length; ) {
      if (this.#ended) return;
      if (this.#in.put(bytes[at]!)) at++;
      else await this.#room();
    }
    this.#onInput();
  }

  /** Waits until the guest has taken half of the input. */
  async #room(): Promise<void> {
    this.#onInput();
    const room = new Promise<void>((resolve) => {
      this.#continueWrite = resolve;
    });
    this.#in.raise('waiting');
    // The guest may have taken all of it before the flag was up.
    if (this.#in.size < this.#in.capacity / 2 && this.#in.lower('waiting')) return;
    await room;
  }
}

export interface SavedSerial {
  /** `DEVICE_STATE` bytes. */
  readonly state: Uint8Array;
  /** At most `MAX_INPUT` bytes. */
  readonly input: Uint8Array;
}

export const MAX_INPUT = INPUT;
