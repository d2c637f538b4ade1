/** The 16550A of the first serial line, as far as polling guests, Linux' earlyprintk and its 8250 driver need one. */

/** The far end of the line, in the thread of the UART. */
export interface SerialLine {
  /** Sends a byte; returns when it is on its way. */
  put(byte: number): void;
  take(): number | undefined;
  /** Whether a byte can be taken. */
  ready(): boolean;
}

// Registers, by offset (National Semiconductor PC16550D data sheet, table II).
const DATA = 0; // receive buffer, transmit holding; divisor latch low with DLAB
const IER = 1; // interrupt enable; divisor latch high with DLAB
const IIR = 2; // read: interrupt identification; write: FIFO control
const LCR = 3;
const MCR = 4;
const LSR = 5;
const MSR = 6;

const IER_RECEIVED = 1 << 0;
const IER_EMPTY = 1 << 1;
const IIR_NONE = 1;
const IIR_EMPTY = 2;
const IIR_RECEIVED = 4;
const IIR_FIFOS = 0xc0;
const FCR_ENABLE = 1 << 0;
const LCR_DLAB = 1 << 7;
const MCR_OUT2 = 1 << 3; // on a PC this gate lets the interrupt through
const MCR_LOOP = 1 << 4;
const LSR_READY = 1 << 0;
const LSR_EMPTY = (1 << 5) | (1 << 6); // holding and shift register: a byte is sent at once
const MSR_PRESENT = 0xb0; // carrier, data set ready, clear to send

// The UART's state, by offset in its bytes. LATCH is the divisor, two bytes, kept and without effect.
const S = {
  LATCH: 0,
  IER: 2,
  FIFOS: 3,
  LCR: 4,
  MCR: 5,
  SCRATCH: 6,
  EMPTIED: 7, // 1: the transmitter became empty, and the guest has not read that yet
  LOOPED: 8, // 1: the next byte is in the receiver, from loopback
  LOOPED_BYTE: 9,
  LEVEL: 10, // of the interrupt line
} as const;

/** Bytes of a UART's state. */
export const UART_STATE = 11;

export class Uart {
  readonly #line: SerialLine;
  readonly #interrupt: (level: boolean) => void;
  readonly #state: Uint8Array;

  /**
   * `interrupt` is called with the level of the UART's interrupt line whenever that changes. `state` holds the registers:
   * zeros are a UART after reset; a saved machine's bytes are its UART again.
   */
  constructor(
    line: SerialLine,
    interrupt: (level: boolean) => void,
    state: Uint8Array = new Uint8Array(UART_STATE),
  ) {
    this.#line = line;
    this.#interrupt = interrupt;
    this.#state = state;
  }

  /** Reads a register, 0 to 7. */
  read(offset: number): number {
    const value = this.#read(offset);
    if (offset === DATA || offset === IIR) this.poll();
    return value;
  }

  write(offset: number, value: number): void {
    this.#write(offset, value);
    if (offset <= IER || offset === MCR) this.poll();
  }

  /** Updates the interrupt line; to be called when bytes may have come. */
  poll(): void {
    const state = this.#state;
    const enabled = state[S.IER] !== 0 && (state[S.MCR]! & MCR_OUT2) !== 0;
    const level = enabled && this.#pending() !== IIR_NONE ? 1 : 0;
    if (level === state[S.LEVEL]) return;
    state[S.LEVEL] = level;
    this.#interrupt(level === 1);
  }

  #read(offset: number): number {
    const state = this.#state;
    const latch = (state[S.LCR]! & LCR_DLAB) !== 0;
    switch (offset) {
      case DATA:
        return latch ? state[S.LATCH]! : this.#receive();
      case IER:
        return latch ? state[S.LATCH + 1]! : state[S.IER]!;
      case IIR: {
        const cause = this.#pending();
        if (cause === IIR_EMPTY) state[S.EMPTIED] = 0;
        return cause | state[S.FIFOS]!;
      }
      case LCR:
        return state[S.LCR]!;
      case MCR:
        return state[S.MCR]!;
      case LSR:
        return LSR_EMPTY | (this.#ready() ? LSR_READY : 0);
      case MSR:
        return modemStatus(state[S.MCR]!);
      default:
        return state[S.SCRATCH]!;
    }
  }

  #write(offset: number, value: number): void {
    const state = this.#state;
    const latch = (state[S.LCR]! & LCR_DLAB) !== 0;
    switch (offset) {
      case DATA:
        if (latch) state[S.LATCH] = value;
        else this.#send(value);
        break;
      case IER:
        if (latch) state[S.LATCH + 1] = value;
        else {
          // Enabling the interrupt of an empty transmitter raises it.
          if ((value & ~state[S.IER]! & IER_EMPTY) !== 0) state[S.EMPTIED] = 1;
          state[S.IER] = value & 0xf;
        }
        break;
      case IIR:
        // Bytes that wait on the line are not in the FIFO yet: emptying it drops no input.
        state[S.FIFOS] = (value & FCR_ENABLE) !== 0 ? IIR_FIFOS : 0;
        break;
      case LCR:
        state[S.LCR] = value;
        break;
      case MCR:
        state[S.MCR] = value & 0x1f;
        break;
      case LSR:
      case MSR:
        break; // read only
      default:
        state[S.SCRATCH] = value;
    }
  }

  #loopback(): boolean {
    return (this.#state[S.MCR]! & MCR_LOOP) !== 0;
  }

  #ready(): boolean {
    return this.#state[S.LOOPED] === 1 || (!this.#loopback() && this.#line.ready());
  }

  #pending(): number {
    const ier = this.#state[S.IER]!;
    if ((ier & IER_RECEIVED) !== 0 && this.#ready()) return IIR_RECEIVED;
    if ((ier & IER_EMPTY) !== 0 && this.#state[S.EMPTIED] === 1) return IIR_EMPTY;
    return IIR_NONE;
  }

  #send(byte: number): void {
    const state = this.#state;
    if (this.#loopback()) {
      state[S.LOOPED] = 1;
      state[S.LOOPED_BYTE] = byte;
    } else this.#line.put(byte);
    state[S.EMPTIED] = 1;
  }

  #receive(): number {
    const state = this.#state;
    const looped = state[S.LOOPED] === 1;
    state[S.LOOPED] = 0;
    if (looped) return state[S.LOOPED_BYTE]!;
    return (this.#loopback() ? undefined : this.#line.take()) ?? 0;
  }
}

/** In loopback the modem control outputs are the modem status inputs. */
function modemStatus(mcr: number): number {
  if ((mcr & MCR_LOOP) === 0) return MSR_PRESENT;
  return ((mcr & 2) << 3) | ((mcr & 1) << 5) | ((mcr & 4) << 4) | ((mcr & 8) << 4);
}
