/** Lines out of a byte stream that nobody vouches for: bounded in length, and by the caller's clock; of any number. */
import { MachineError } from '../cpu.ts';

export interface Lines {
  /**
   * The first thing that `pick` makes of a line; other lines are skipped. Throws a `MachineError` after `milliseconds`,
   * however many bytes have come that make no sense, or at the stream's end.
   */
  next<T>(pick: (line: string) => T | undefined, milliseconds: number): Promise<T>;
  /** How many bytes have come in all, and the last printable text among them, at most 60 characters. */
  heard(): { readonly bytes: number; readonly tail: string };
}

const MAX_LINE = 4096;
const MAX_TAIL = 60;

export function lines(readable: ReadableStream<Uint8Array>): Lines {
  const reader = readable.getReader();
  let text = '';
  let bytes = 0;
  let last = '';
  let pending: Promise<ReadableStreamReadResult<Uint8Array>> | undefined;
  const clock = new Clock();

  /** Takes complete lines out of `text`; the unfinished rest stays. */
  const take = <T>(pick: (line: string) => T | undefined): T | undefined => {
    for (let end = LINE_END.exec(text); end !== null; end = LINE_END.exec(text)) {
      const line = text.slice(0, end.index);
      text = text.slice(end.index + 1);
      const picked = pick(line);
      if (picked !== undefined) return picked;
    }
    if (text.length > MAX_LINE) text = text.slice(-MAX_LINE);
    return undefined;
  };
  const add = (received: Uint8Array): void => {
    bytes += received.length;
    const more = latin1(received);
    text += more;
    last += more.slice(-MAX_LINE);
    if (last.length > 2 * MAX_LINE) last = last.slice(-MAX_LINE);
  };

  return {
    async next(pick, milliseconds) {
      const begun = performance.now();
      const expired = clock.start(milliseconds);
      try {
        for (;;) {
          const picked = take(pick);
          if (picked !== undefined) return picked;
          pending ??= reader.read();
          // Bytes that are always there already leave a timer no chance to run.
          const late = performance.now() - begun >= milliseconds;
          const result = late ? undefined : await Promise.race([pending, expired]);
          if (result === undefined) throw silence(`the guest gave no answer within ${milliseconds} ms`, text);
          pending = undefined;
          if (result.done) throw silence("the guest's serial line ended before an answer", text, 'ended');
          add(result.value);
        }
      } finally {
        clock.stop();
      }
    },
    heard: () => ({
      bytes,
      tail: printable(
        last
          .slice(-MAX_LINE)
          .trimEnd()
          .split(/[\r\n]/)
          .at(-1) ?? '',
      ),
    }),
  };
}

/** Node and browsers take a longer delay, Infinity among them, for 1 ms. */
export const MAX_DELAY = 2 ** 31 - 1;

/** Node's timers can let the process end while they wait; browsers' are numbers. */
type Timer = { ref?(): void; unref?(): void };

/**
 * One time limit after the other, by one timer: a question is answered in a tenth of the time that it takes Node to begin and
 * to end a timer. It waits on, without keeping the process, when nothing is waited for.
 */
class Clock {
  #timer: Timer | undefined;
  /** When the timer fires, and when the wait ends, by performance.now(). */
  #fires = 0;
  #ends = 0;
  #expire: (() => void) | undefined;

  /** Resolves after so many milliseconds, unless `stop` was called. */
  start(milliseconds: number): Promise<undefined> {
    this.#ends = performance.now() + Math.min(milliseconds, MAX_DELAY);
    this.#arm();
    return new Promise((resolve) => {
      this.#expire = () => resolve(undefined);
    });
  }

  stop(): void {
    this.#expire = undefined;
    this.#timer?.unref?.();
  }

  #arm(): void {
    if (this.#timer !== undefined && this.#fires <= this.#ends) {
      this.#timer.ref?.();
      return;
    }
    clearTimeout(this.#timer as ReturnType<typeof setTimeout> | undefined);
    this.#fires = this.#ends;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      if (this.#expire === undefined) return;
      if (performance.now() >= this.#ends) this.#expire();
      else this.#arm();
    }, this.#ends - performance.now()) as Timer;
  }
}

const LINE_END = /[\r\n]/;

/** Each byte as the character of its number. */
function latin1(bytes: Uint8Array): string {
  let text = '';
  for (let at = 0; at < bytes.length; at += MAX_LINE)
    text += String.fromCharCode(...bytes.subarray(at, at + MAX_LINE));
  return text;
}

function silence(why: string, text: string, code: 'timeout' | 'ended' = 'timeout'): MachineError {
  const seen = printable(text);
  const stopped = seen === '' ? '' : `; it stopped in the middle of ${JSON.stringify(seen)}`;
  return new MachineError(`${why}${stopped}`, { code });
}

const printable = (text: string): string => text.slice(-MAX_TAIL).replace(/[^ -~]/g, '.');
