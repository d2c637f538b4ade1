/** The guest's input on COM1: characters as fast as it takes them, and a rest for a guest that polls an empty line. */
import type { Board } from './board.ts';
import type { ConsoleLine } from './console.ts';
import { IN_HLT, INSTRUCTION_COUNTER } from './registers.ts';
import { receive } from './uart.ts';

const REQUEST_TO_SEND = 1 << 1;
const LOOPBACK = 1 << 4;
const RECEIVE_INTERRUPT = 1 << 0;
const DATA_READY = 1;
/** So many polls of an empty line in a row: the guest has nothing else to do. */
const IDLE_POLLS = 16;
/** How long such a guest rests, in ms, unless input comes. */
const IDLE_MS = 4;
/** More than the instructions that v86 runs (LOOP_COUNTER in its cpu.rs) before it looks at the clock. */
const ENOUGH = 200_000;

export class SerialInput {
  readonly #line: ConsoleLine;
  readonly #byInterrupt: boolean;
  /** The guest listens, and has not asked for a pause. */
  #ready = true;
  /** It has used the line "request to send". */
  #asked = false;
  #polls = 0;
  #resting = false;

  constructor(line: ConsoleLine, byInterrupt: boolean) {
    this.#line = line;
    this.#byInterrupt = byInterrupt;
  }

  /** As many characters as the serial port holds; true where there were some. */
  feed({ emulator }: Board): boolean {
    const { modem_control, ier, input } = emulator.v86.cpu.devices.uart0;
    const requests = (modem_control & REQUEST_TO_SEND) !== 0;
    this.#asked ||= requests;
    // A guest that never touches the line "request to send" has no use for it; one that drops it wants nothing now.
    const wanted = !this.#asked || requests;
    const listens = !this.#byInterrupt || (ier & RECEIVE_INTERRUPT) !== 0;
    this.#ready = wanted && listens && (modem_control & LOOPBACK) === 0;
    if (!this.#ready || !this.#line.waiting) return false;
    receive(emulator, this.#line.take(input.length));
    return true;
  }

  /** The guest has sent something, so it does not just wait. */
  sent(): void {
    this.#polls = 0;
  }

  /**
   * The guest has read the line status. One that waits for input by polling would run its slice to the end before the input
   * could come. v86 ends a slice early for a processor that halts: so this one seems to, until the slice is over.
   */
  polled(board: Board, status: number): void {
    if ((status & DATA_READY) !== 0 || (this.#line.waiting && this.feed(board))) this.#polls = 0;
    else if (++this.#polls >= IDLE_POLLS) {
      const { buffer } = board.exports.memory;
      const counter = new Uint32Array(buffer, INSTRUCTION_COUNTER, 1);
      counter[0] = counter[0]! + ENOUGH; // compiled code looks at its instructions alone
      new Uint8Array(buffer)[IN_HLT] = 1;
      this.#resting = true;
    }
  }

  /** The slice is over: a processor that only seemed to halt goes on, unless the machine has `ended`. */
  sliceOver({ exports }: Board, ended: boolean): void {
    if (this.#resting && !ended) new Uint8Array(exports.memory.buffer)[IN_HLT] = 0;
    this.#resting = false;
  }

  /** Milliseconds until the next slice; `wanted` by v86. */
  rest(wanted: number): number {
    if (this.#ready && this.#line.waiting) return 0;
    return this.#polls >= IDLE_POLLS ? IDLE_MS : wanted;
  }
}
