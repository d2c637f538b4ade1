/** The wait for a guest's samples: a countdown at a terminal, and one line where none has come after a while. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { SampleReader } from '../clones/index.ts';
import { MachineError } from '../cpu.ts';
import type { Io } from './io.ts';

/** A guest that prints nothing for this long, in milliseconds, may have no sampler; the wait goes on. */
const HINT_MS = 5_000;

/** The time in which a copy is recorded; rejects at once where the user interrupts. */
export async function recordFor(seconds: number, { interrupted }: Io): Promise<void> {
  await sleep(seconds * 1000, undefined, { signal: interrupted }).catch((cause) => {
    throw new MachineError('interrupted', { cause });
  });
}

export class Waiting {
  readonly #reader: SampleReader;
  readonly #seconds: number;
  readonly #io: Io;
  readonly #hint: string;
  readonly #begun = performance.now();
  #bytes = 0;
  #hinted = false;

  /** `seconds`: how long the caller waits; `hint`: for a guest that prints no sample. */
  constructor(
    reader: SampleReader,
    seconds: number,
    io: Io,
    hint = 'the guest has to run commonhv-sampler, which prints to its serial console',
  ) {
    this.#reader = reader;
    this.#seconds = seconds;
    this.#io = io;
    this.#hint = hint;
  }

  /** Hands bytes of the console on, and counts them. */
  feed(bytes: Uint8Array): void {
    this.#bytes += bytes.length;
    this.#reader.feed(bytes);
  }

  /** Shows where the wait is; to be called again and again. */
  show(): void {
    const waited = performance.now() - this.#begun;
    const left = `${Math.max(0, Math.round(this.#seconds - waited / 1000))} s left`;
    const heard = this.#bytes === 0 ? 'nothing heard yet' : `no sample yet in ${this.#bytes} bytes`;
    if (this.#reader.count > 0) return;
    if (waited >= HINT_MS && !this.#hinted) {
      this.#hinted = true;
      this.#io.err(`commonhv: ${heard}, ${left}: ${this.#hint}`);
    }
    this.#io.progress(`waiting for samples: ${heard}, ${left}`);
  }
}
