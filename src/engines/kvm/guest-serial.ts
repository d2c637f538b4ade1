/** The guest's end of a serial line, in the thread of its UART; the other end is in the caller's thread (`console.ts`). */
import type { Command } from './control.ts';
import { RingBuffer } from './ring-buffer.ts';
import { MachineOver } from './rpc.ts';
import type { SerialBuffers } from './task.ts';

export interface GuestSerialOptions {
  /** Tells the other end that there are bytes, or room. */
  readonly notify: (kind: 'output' | 'room') => void;
  /** The thread's command. A wait checks it every 50 ms: it ends by throwing `MachineOver` at `stop`. */
  readonly command: () => Command;
  /** Whether a guest that polls a silent line is put to sleep: only where it cannot be waiting for an interrupt as well. */
  readonly idleBackoff: boolean;
}

/** So many polls of an empty line within POLLING_MS mean that the guest has nothing else to do. */
const MAX_POLLS = 256;
const POLLING_MS = 50;
const MAX_SLEEP_MS = 40;
const WAIT_MS = 50;
const NEWLINE = 0x0a;

/**
 * Output is reported to the other end line by line: at a newline, when the guest polls for input, when the ring is full, and at
 * every `flush`, every 50 ms. A message for each byte would cost more than the byte.
 *
 * A full ring holds the guest until its output is read: nothing is lost, and the buffer stays bounded. A guest that only
 * polls for input sleeps between polls, up to 40 ms, until the first byte comes.
 */
export class GuestSerial {
  readonly #out: RingBuffer;
  readonly #in: RingBuffer;
  readonly #options: GuestSerialOptions;
  /** Output of an instruction that is completed although the ring is full, because the machine is being paused. */
  #overflow: number[] = [];
  #unreported = false;
  #polls = 0;
  #pollingSince = 0;
  #sleep = 1;

  constructor(buffers: SerialBuffers, options: GuestSerialOptions) {
    this.#out = new RingBuffer(buffers.out);
    this.#in = new RingBuffer(buffers.in);
    this.#options = options;
  }

  put(byte: number): void {
    this.#resetBackoff();
    const full = !this.#drainOverflow() || !this.#waitAndPut(byte);
    if (full) this.#overflow.push(byte);
    this.#unreported = true;
    if (byte === NEWLINE) this.flush();
  }

  take(): number | undefined {
    this.#resetBackoff();
    const byte = this.#in.take();
    if (this.#in.size <= this.#in.capacity / 2 && this.#in.lower('waiting')) this.#options.notify('room');
    return byte;
  }

  /** Whether a byte can be taken. */
  ready(): boolean {
    if (this.#in.size > 0) return true;
    this.#polledInVain();
    return false;
  }

  /** Reports the output that the other end does not know of. */
  flush(): void {
    while (this.#overflow.length > 0 && this.#out.put(this.#overflow[0]!)) this.#overflow.shift();
    if (!this.#unreported) return;
    this.#unreported = false;
    if (this.#out.raise('notified')) this.#options.notify('output');
  }

  /** Puts older output first; false where the thread is to pause before all of it found room. */
  #drainOverflow(): boolean {
    while (this.#overflow.length > 0) {
      if (!this.#waitAndPut(this.#overflow[0]!)) return false;
      this.#overflow.shift();
    }
    return true;
  }

  #waitAndPut(byte: number): boolean {
    while (!this.#out.put(byte)) {
      this.flush();
      const command = this.#options.command();
      if (command === 'stop') throw new MachineOver();
      if (command === 'pause') return false;
      this.#out.waitForRoom(WAIT_MS);
    }
    return true;
  }

  #resetBackoff(): void {
    this.#polls = 0;
    this.#sleep = 1;
  }

  #polledInVain(): void {
    // The first poll may belong to an output routine, which polls before each byte: no reason to flush.
    if (this.#polls++ === 0) this.#pollingSince = performance.now();
    else this.flush();
    if (this.#polls < MAX_POLLS) return;
    this.#polls = 0;
    if (!this.#options.idleBackoff || performance.now() - this.#pollingSince > POLLING_MS) return;
    this.#in.waitForByte(this.#sleep);
    this.#sleep = Math.min(this.#sleep * 2, MAX_SLEEP_MS);
  }
}
