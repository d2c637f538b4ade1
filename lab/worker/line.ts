/**
 * A machine's serial line, shared by two: the lab's questions to the probe, and a person's typing. All that passes goes to
 * the page, in batches and bounded, so that a guest that floods its console floods nothing else.
 */
import type { Console, Cpu } from 'commonhv';
import { overSerial } from 'commonhv/probe';

/** Bytes kept between two flushes; a stock kernel's whole boot is about as much. */
const MAX_PENDING = 64 * 1024;
/** How long the probe may take to answer a line that a person typed, in milliseconds. */
const TIMEOUT_MS = 1000;
const NEWLINE = 0x0a;

/** Gets bytes for the terminal, and how many were left out since the last call. */
export type OnBytes = (bytes: Uint8Array<ArrayBuffer>, lost: number) => void;

export class SerialLine {
  readonly #probe: boolean;
  readonly #onBytes: OnBytes;
  readonly #writer: WritableStreamDefaultWriter<Uint8Array>;
  /** The guest's bytes for the lab's own reader. */
  readonly #readable: ReadableStream<Uint8Array>;
  #answers: ReadableStreamDefaultController<Uint8Array> | undefined;
  /** While a person's line is answered, the lab's own reader must not take the answer for its own. */
  #onTyped: ((newline: boolean) => void) | undefined;
  #pending: Uint8Array[] = [];
  #size = 0;
  #lost = 0;
  #queue: Promise<unknown> = Promise.resolve();

  constructor(console: Console, probe: boolean, onBytes: OnBytes) {
    this.#probe = probe;
    this.#onBytes = onBytes;
    this.#readable = new ReadableStream<Uint8Array>({
      start: (controller) => {
        this.#answers = controller;
      },
    });
    void console.readable
      .pipeTo(
        new WritableStream({
          write: (bytes) => this.#receive(bytes),
          close: () => this.#answers?.close(),
        }),
      )
      .catch(() => {});
    this.#writer = console.writable.getWriter();
  }

  /** Waits for the probe and hands out its processor; a resumed probe has said its greeting long ago. */
  async cpu(greeting: boolean): Promise<Cpu> {
    const writable = new WritableStream<Uint8Array>({ write: (bytes) => this.#send(bytes) });
    const line = { readable: this.#readable, writable };
    const cpu = await overSerial(line, greeting ? {} : { pokeIntervalMs: 20 });
    return {
      cpuid: (leaf, subleaf) => this.#alone(async () => cpu.cpuid(leaf, subleaf)),
      rdmsr: (index) => this.#alone(async () => cpu.rdmsr(index)),
      wrmsr: (index, value) => this.#alone(async () => cpu.wrmsr(index, value)),
    };
  }

  /** With the probe: one whole line. Otherwise: bytes as they are. */
  async type(bytes: Uint8Array): Promise<void> {
    if (!this.#probe) return this.#send(bytes);
    return this.#alone(async () => {
      const answer = new Promise<void>((resolve) => {
        this.#onTyped = (newline) => {
          if (newline) resolve();
        };
        setTimeout(resolve, TIMEOUT_MS);
      });
      await this.#send(bytes);
      await answer;
      this.#onTyped = undefined;
    });
  }

  /** Passes on the bytes since the last call. */
  flush(): void {
    if (this.#size === 0 && this.#lost === 0) return;
    const bytes = new Uint8Array(this.#size);
    let at = 0;
    for (const part of this.#pending) {
      bytes.set(part, at);
      at += part.length;
    }
    this.#onBytes(bytes, this.#lost);
    this.#pending = [];
    this.#size = 0;
    this.#lost = 0;
  }

  #receive(bytes: Uint8Array): void {
    this.#show(bytes);
    if (this.#onTyped) this.#onTyped(bytes.includes(NEWLINE));
    else if (this.#probe) this.#answers?.enqueue(bytes);
  }

  async #send(bytes: Uint8Array): Promise<void> {
    if (this.#probe) this.#show(grey(bytes));
    await this.#writer.write(bytes);
  }

  #show(bytes: Uint8Array): void {
    if (this.#size + bytes.length > MAX_PENDING) this.#lost += bytes.length;
    else {
      this.#pending.push(bytes.slice());
      this.#size += bytes.length;
    }
  }

  #alone<T>(ask: () => Promise<T>): Promise<T> {
    const answered = this.#queue.then(ask);
    this.#queue = answered.catch(() => {});
    return answered;
  }
}

/** Sent lines are shown too, in grey: "bright black" and back to the default (90 and 39 among xterm's colours). */
function grey(bytes: Uint8Array): Uint8Array {
  const text = new TextDecoder('latin1').decode(bytes).replace(/[\r\n]+$/, '');
  return new TextEncoder().encode(`\x1b[90m${text}\x1b[39m\r\n`);
}
