/**
 * Bytes from one thread to another in shared memory: one side of a serial line. One thread puts, one takes; whoever has
 * to wait sleeps on a word of the ring, for a bounded time, so that it can look around before it sleeps again.
 */
export interface Ring {
  /** Whether there was room. */
  put(byte: number): boolean;
  /** The next byte; `undefined` where there is none. */
  take(): number | undefined;
  /** Up to `most` bytes. */
  takeAll(most: number): Uint8Array;
  size(): number;
  readonly capacity: number;
  /** Sleeps until a byte is put, at most so many milliseconds. */
  awaitByte(milliseconds: number): void;
  /** Sleeps until a byte is taken, at most so many milliseconds. */
  awaitRoom(milliseconds: number): void;
  /** Wakes whoever sleeps, for reasons of its own. */
  wake(): void;
  /**
   * A flag between the two ends: `raise` tells whether it was down. One end raises it and sends a message, the other
   * lowers it and looks: so a message is sent when it has something new to say.
   */
  raise(flag: Flag): boolean;
  lower(flag: Flag): boolean;
}

/** `rung`: the taker has been told that there are bytes. `wanted`: the putter wants to hear of room. */
export type Flag = 'rung' | 'wanted';

// Words at the head of the buffer. Positions count for ever, modulo 2^32; the capacity is a power of two.
const PUT = 0;
const TAKEN = 1;
const FLAGS = { rung: 2, wanted: 3 } as const;
const HEADER = 16;

/** A buffer for a ring of so many bytes, a power of two. */
export function ringBuffer(capacity: number): SharedArrayBuffer {
  return new SharedArrayBuffer(HEADER + capacity);
}

/** Either end of the ring in a buffer. */
export function ring(buffer: SharedArrayBuffer): Ring {
  const words = new Int32Array(buffer, 0, HEADER / 4);
  const bytes = new Uint8Array(buffer, HEADER);
  const mask = bytes.length - 1;
  const size = (): number => (Atomics.load(words, PUT) - Atomics.load(words, TAKEN)) >>> 0;
  const step = (word: number, by: number): void => {
    Atomics.add(words, word, by);
    Atomics.notify(words, word);
  };
  return {
    capacity: bytes.length,
    size,
    put(byte) {
      if (size() === bytes.length) return false;
      bytes[words[PUT]! & mask] = byte;
      step(PUT, 1);
      return true;
    },
    take() {
      if (size() === 0) return undefined;
      const byte = bytes[words[TAKEN]! & mask]!;
      step(TAKEN, 1);
      return byte;
    },
    takeAll(most) {
      const count = Math.min(most, size());
      const from = words[TAKEN]!;
      const taken = Uint8Array.from({ length: count }, (_, i) => bytes[(from + i) & mask]!);
      if (count > 0) step(TAKEN, count);
      return taken;
    },
    awaitByte(milliseconds) {
      const seen = Atomics.load(words, PUT);
      if (size() === 0) Atomics.wait(words, PUT, seen, milliseconds);
    },
    awaitRoom(milliseconds) {
      const seen = Atomics.load(words, TAKEN);
      if (size() === bytes.length) Atomics.wait(words, TAKEN, seen, milliseconds);
    },
    wake() {
      Atomics.notify(words, PUT);
      Atomics.notify(words, TAKEN);
    },
    raise: (flag) => Atomics.exchange(words, FLAGS[flag], 1) === 0,
    lower: (flag) => Atomics.exchange(words, FLAGS[flag], 0) === 1,
  };
}
