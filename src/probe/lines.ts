/** Lines out of a byte stream that nobody vouches for: bounded in length and in number, and by the caller's clock. */
import { MachineError } from '../cpu.ts';

export interface Lines {
  /**
   * The first thing that `pick` makes of a line; other lines are skipped. Throws a `MachineError` after
   * `milliseconds`, at the stream's end, or when more than `MAX_NOISE` bytes made no sense.
   */
  next<T>(pick: (line: string) => T | undefined, milliseconds: number): Promise<T>;
}

const MAX_LINE = 4096;
/** A firmware or boot loader is done in far less; a guest that floods the line is told apart from one that answers. */
const MAX_NOISE = 1 << 20;

export function lines(readable: ReadableStream<Uint8Array>): Lines {
  const reader = readable.getReader();
  const decoder = new TextDecoder('latin1');
  let text = '';
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

  return {
    async next(pick, milliseconds) {
      let noise = 0;
      const clock = timeout(milliseconds);
      try {
        for (;;) {
          const picked = take(pick);
          if (picked !== undefined) return picked;
          pending ??= reader.read();
          const result = await Promise.race([pending, clock.expired]);
          if (result === undefined)
            throw new MachineError(`the guest gave no answer within ${milliseconds} ms${tail(text)}`);
          pending = undefined;
          if (result.done)
            throw new MachineError(`the guest's serial line ended before an answer${tail(text)}`);
          noise += result.value.length;
          if (noise > MAX_NOISE) throw new MachineError(`the guest sent ${noise} bytes that are no answer`);
          text += decoder.decode(result.value, { stream: true });
        }
      } finally {
        clock.stop();
      }
    },
  };
}

/** Node and browsers take a longer delay, Infinity among them, for 1 ms. */
const MAX_DELAY = 2 ** 31 - 1;

function timeout(milliseconds: number): { expired: Promise<undefined>; stop(): void } {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const expired = new Promise<undefined>((resolve) => {
    timer = setTimeout(() => resolve(undefined), Math.min(milliseconds, MAX_DELAY));
  });
  return { expired, stop: () => clearTimeout(timer) };
}

/** The received text, for the error: printable, short. */
function tail(text: string): string {
  const seen = text.slice(-60).replace(/[^ -~]/g, '.');
  return seen === '' ? '' : `; it stopped in the middle of ${JSON.stringify(seen)}`;
}
