/**
 * A machine's serial line, shared by two: the lab's questions to the probe, and a person's typing. All that passes goes to
 * the page, in batches and bounded, so that a guest that floods its console floods nobody else.
 */
import type { Console, Cpu } from 'commonhv';
import { overSerial } from 'commonhv/probe';

/** Bytes kept between two flushes; a stock kernel's whole boot is about as much. */
const MOST = 64 * 1024;
/** How long the probe may take to answer a line that a person typed, in milliseconds. */
const TIMEOUT_MS = 1000;
const NEWLINE = 0x0a;

export interface ProbeLine {
  /** Waits for the probe and hands out its processor; a resumed probe has said its greeting long ago. */
  cpu(greeting: boolean): Promise<Cpu>;
  /** With the probe: one whole line. Otherwise: bytes as they are. */
  type(bytes: Uint8Array): Promise<void>;
  /** Passes on the bytes since the last call. */
  flush(): void;
}

/** `tell` takes bytes for the terminal, and how many were left out since the last call. */
export function openLine(
  console: Console,
  probe: boolean,
  tell: (bytes: Uint8Array<ArrayBuffer>, lost: number) => void,
): ProbeLine {
  let pending: Uint8Array[] = [];
  let size = 0;
  let lost = 0;
  const show = (bytes: Uint8Array) => {
    if (size + bytes.length > MOST) lost += bytes.length;
    else {
      pending.push(bytes.slice());
      size += bytes.length;
    }
  };
  // While a person's line is answered, the lab's own reader must not take the answer for its own.
  let typed: ((newline: boolean) => void) | undefined;
  let asked: ReadableStreamDefaultController<Uint8Array> | undefined;
  const readable = new ReadableStream<Uint8Array>({
    start: (controller) => {
      asked = controller;
    },
  });
  void console.readable
    .pipeTo(
      new WritableStream({
        write(bytes) {
          show(bytes);
          if (typed) typed(bytes.includes(NEWLINE));
          else if (probe) asked?.enqueue(bytes);
        },
        close: () => asked?.close(),
      }),
    )
    .catch(() => {});
  const writer = console.writable.getWriter();
  let queue: Promise<unknown> = Promise.resolve();
  const send = async (bytes: Uint8Array) => {
    if (probe) show(grey(bytes));
    await writer.write(bytes);
  };
  const writable = new WritableStream<Uint8Array>({ write: send });
  const alone = <T>(ask: () => Promise<T>): Promise<T> => {
    const answered = queue.then(ask);
    queue = answered.catch(() => {});
    return answered;
  };
  return {
    async cpu(greeting) {
      const cpu = await overSerial({ readable, writable }, greeting ? {} : { pokeIntervalMs: 20 });
      return {
        cpuid: (leaf, subleaf) => alone(async () => cpu.cpuid(leaf, subleaf)),
        rdmsr: (index) => alone(async () => cpu.rdmsr(index)),
        wrmsr: (index, value) => alone(async () => cpu.wrmsr(index, value)),
      };
    },
    async type(bytes) {
      if (!probe) return send(bytes);
      return alone(async () => {
        const answer = new Promise<void>((resolve) => {
          typed = (newline) => {
            if (newline) resolve();
          };
          setTimeout(resolve, TIMEOUT_MS);
        });
        await send(bytes);
        await answer;
        typed = undefined;
      });
    },
    flush() {
      if (size === 0 && lost === 0) return;
      const bytes = new Uint8Array(size);
      let at = 0;
      for (const part of pending) {
        bytes.set(part, at);
        at += part.length;
      }
      tell(bytes, lost);
      pending = [];
      size = 0;
      lost = 0;
    },
  };
}

/** Sent lines are shown too, in grey: "bright black" and back to the default (90 and 39 among xterm's colours). */
function grey(bytes: Uint8Array): Uint8Array {
  const text = new TextDecoder('latin1').decode(bytes).replace(/[\r\n]+$/, '');
  return new TextEncoder().encode(`\x1b[90m${text}\x1b[39m\r\n`);
}
