/** Bytes from one thread to another through shared memory: one direction of a serial line. One thread puts, one takes. */

/** `notified`: the taker knows of bytes. `waiting`: the putter waits for free space. */
export type Flag = 'notified' | 'waiting';

// Words at the head of the buffer. Positions count on, modulo 2^32; the capacity is a power of two.
const PUT = 0;
const TAKEN = 1;
const FLAGS = { notified: 2, waiting: 3 } as const;
const HEADER = 16;

/** Either end of a ring buffer. A waiting thread sleeps for a bounded time, so that it can check its commands in between. */
export class RingBuffer {
  readonly #words: Int32Array;
  readonly #bytes: Uint8Array;

  /** Shared memory for a ring of `capacity` bytes, a power of two. */
  static allocate(capacity: number): SharedArrayBuffer {
    return new SharedArrayBuffer(HEADER + capacity);
  }

  constructor(buffer: SharedArrayBuffer) {
    this.#words = new Int32Array(buffer, 0, HEADER / 4);
    this.#bytes = new Uint8Array(buffer, HEADER);
  }

  get capacity(): number {
    return this.#bytes.length;
  }

  get size(): number {
    return (Atomics.load(this.#words, PUT) - Atomics.load(this.#words, TAKEN)) >>> 0;
  }

  /** Puts a byte; false where there is no room. */
  put(byte: number): boolean {
    if (this.size === this.capacity) return false;
    this.#bytes[this.#words[PUT]! & (this.capacity - 1)] = byte;
    this.#advance(PUT, 1);
    return true;
  }

  /** Takes the next byte; `undefined` where there is none. */
  take(): number | undefined {
    if (this.size === 0) return undefined;
    const byte = this.#bytes[this.#words[TAKEN]! & (this.capacity - 1)]!;
    this.#advance(TAKEN, 1);
    return byte;
  }

  /** Takes up to `limit` bytes. */
  takeAll(limit: number): Uint8Array {
    const bytes = this.peek(limit);
    if (bytes.length > 0) this.#advance(TAKEN, bytes.length);
    return bytes;
  }

  /** Copies up to `limit` bytes, and leaves them there. */
  peek(limit = this.capacity): Uint8Array {
    const count = Math.min(limit, this.size);
    const from = this.#words[TAKEN]!;
    return Uint8Array.from({ length: count }, (_, i) => this.#bytes[(from + i) & (this.capacity - 1)]!);
  }

  /** Sleeps until a byte is put, at most `milliseconds`. */
  waitForByte(milliseconds: number): void {
    const position = Atomics.load(this.#words, PUT);
    if (this.size === 0) Atomics.wait(this.#words, PUT, position, milliseconds);
  }

  /** Sleeps until a byte is taken, at most `milliseconds`. */
  waitForRoom(milliseconds: number): void {
    const position = Atomics.load(this.#words, TAKEN);
    if (this.size === this.capacity) Atomics.wait(this.#words, TAKEN, position, milliseconds);
  }

  /** Wakes both ends. */
  wake(): void {
    Atomics.notify(this.#words, PUT);
    Atomics.notify(this.#words, TAKEN);
  }

  /** Raises a flag; true where it was down. One end raises it and sends a message, the other lowers it, then looks. */
  raise(flag: Flag): boolean {
    return Atomics.exchange(this.#words, FLAGS[flag], 1) === 0;
  }

  /** Lowers a flag; true where it was up. */
  lower(flag: Flag): boolean {
    return Atomics.exchange(this.#words, FLAGS[flag], 0) === 1;
  }

  #advance(position: number, by: number): void {
    Atomics.add(this.#words, position, by);
    Atomics.notify(this.#words, position);
  }
}
