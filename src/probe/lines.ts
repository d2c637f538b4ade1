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
  const decoder = new TextDecoder('latin1');
  let text = '';
  let bytes = 0;
  let last = '';
  let pending: Promise<ReadableStreamReadResult<Uint8Array>> | undefined;

  /** Takes complete lines out of `text`; the unfinished rest stays. */
  const take = <T>(pick: (line: string) => T | undefined): T | undefined => {
    for (let end = text.search(/[\r\n]/); end >= 0; end = text.search(/[\r\n]/)) {
      const line = text.slice(0, end);
      text = text.slice(end + 1);
      const picked = pick(line);
      if (picked !== undefined) return picked;
    }
    if (text.length > MAX_LINE) text = text.slice(-MAX_LINE);
    return undefined;
  };
  const add = (received: Uint8Array): void => {
    bytes += received.length;
    const more = decoder.decode(received, { stream: true });
    text += more;
    last = (last + more.slice(-MAX_LINE)).slice(-MAX_LINE);
  };

  return {
    async next(pick, milliseconds) {
      const begun = performance.now();
      const clock = timeout(milliseconds);
      try {
        for (;;) {
          const picked = take(pick);
          if (picked !== undefined) return picked;
          pending ??= reader.read();
          // Bytes that are always there already leave a timer no chance to run.
          const late = performance.now() - begun >= milliseconds;
          const result = late ? undefined : await Promise.race([pending, clock.expired]);
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
          .trimEnd()
          .split(/[\r\n]/)
          .at(-1) ?? '',
      ),
    }),
  };
}

/** Node and browsers take a longer delay, Infinity among them, for 1 ms. */
export const MAX_DELAY = 2 ** 31 - 1;

function timeout(milliseconds: number): { expired: Promise<undefined>; stop(): void } {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const expired = new Promise<undefined>((resolve) => {
    timer = setTimeout(() => resolve(undefined), Math.min(milliseconds, MAX_DELAY));
  });
  return { expired, stop: () => clearTimeout(timer) };
}

function silence(why: string, text: string, code: 'timeout' | 'ended' = 'timeout'): MachineError {
  const seen = printable(text);
  const stopped = seen === '' ? '' : `; it stopped in the middle of ${JSON.stringify(seen)}`;
  return new MachineError(`${why}${stopped}`, { code });
}

const printable = (text: string): string => text.slice(-MAX_TAIL).replace(/[^ -~]/g, '.');
