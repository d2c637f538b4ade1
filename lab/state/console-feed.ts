/** Console bytes on their way to a terminal that may come later, or change. */
import { signal } from '@preact/signals';

/** Bytes kept for a terminal that is not there yet. */
const BACKLOG = 256 * 1024;

export class ConsoleFeed {
  /** Whether the guest has said anything. */
  readonly spoken = signal(false);
  readonly #past: Uint8Array[] = [];
  readonly #sinks = new Set<(bytes: Uint8Array) => void>();
  #size = 0;

  /** `lost`: how many bytes were left out after these. */
  write(bytes: Uint8Array, lost: number): void {
    this.#keep(bytes);
    if (lost > 0) this.#keep(new TextEncoder().encode(`\r\n[${lost} bytes left out]\r\n`));
    this.spoken.value = true;
  }

  /** Takes the bytes from now on, after all that came before; returns the function that ends it. */
  attach(sink: (bytes: Uint8Array) => void): () => void {
    for (const bytes of this.#past) sink(bytes);
    this.#sinks.add(sink);
    return () => void this.#sinks.delete(sink);
  }

  #keep(bytes: Uint8Array): void {
    this.#past.push(bytes);
    this.#size += bytes.length;
    while (this.#size > BACKLOG && this.#past.length > 1) this.#size -= this.#past.shift()!.length;
    for (const sink of this.#sinks) sink(bytes);
  }
}
