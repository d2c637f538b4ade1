/** The 16550A of the first serial line, as far as polling guests, Linux' earlyprintk and its 8250 driver need one. */

/** The far end of the line, in the thread of the UART. */
export interface Wire {
  /** Sends a byte; returns when it is on its way. */
  put(byte: number): void;
  take(): number | undefined;
  /** Whether a byte can be taken. */
  ready(): boolean;
}

export interface Uart {
  /** Reads a register, 0 to 7. */
  read(offset: number): number;
  write(offset: number, value: number): void;
  /** Looks at the line again, for the interrupt: to be called when bytes may have come. */
  poll(): void;
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
const LSR_EMPTY = (1 << 5) | (1 << 6); // holding and shift register: what is written is gone at once
const MSR_PRESENT = 0xb0; // carrier, data set ready, clear to send

/** `interrupt` is called with the level of the UART's line whenever that changes. */
export function uart(wire: Wire, interrupt: (level: boolean) => void): Uart {
  const latch = [1, 0]; // the divisor: kept, and without effect
  let ier = 0;
  let fifos = 0;
  let lcr = 0;
  let mcr = 0;
  let scratch = 0;
  let emptied = false; // the transmitter became empty, and nobody has been told
  let looped: number | undefined; // a byte that came back in loopback mode
  let level = false;

  const ready = (): boolean => looped !== undefined || ((mcr & MCR_LOOP) === 0 && wire.ready());
  function pending(): number {
    if ((ier & IER_RECEIVED) !== 0 && ready()) return IIR_RECEIVED;
    if ((ier & IER_EMPTY) !== 0 && emptied) return IIR_EMPTY;
    return IIR_NONE;
  }
  function poll(): void {
    const now = ier !== 0 && (mcr & MCR_OUT2) !== 0 && pending() !== IIR_NONE;
    if (now === level) return;
    level = now;
    interrupt(level);
  }
  function receive(): number {
    const byte = looped ?? ((mcr & MCR_LOOP) === 0 ? wire.take() : undefined);
    looped = undefined;
    return byte ?? 0;
  }
  /** In loopback the modem control outputs are the modem status inputs. */
  const modemStatus = (): number =>
    (mcr & MCR_LOOP) === 0
      ? MSR_PRESENT
      : ((mcr & 2) << 3) | ((mcr & 1) << 5) | ((mcr & 4) << 4) | ((mcr & 8) << 4);

  function read(offset: number): number {
    switch (offset) {
      case DATA:
        return (lcr & LCR_DLAB) !== 0 ? latch[0]! : receive();
      case IER:
        return (lcr & LCR_DLAB) !== 0 ? latch[1]! : ier;
      case IIR: {
        const cause = pending();
        if (cause === IIR_EMPTY) emptied = false;
        return cause | fifos;
      }
      case LCR:
        return lcr;
      case MCR:
        return mcr;
      case LSR:
        return LSR_EMPTY | (ready() ? LSR_READY : 0);
      case MSR:
        return modemStatus();
      default:
        return scratch;
    }
  }
  function write(offset: number, value: number): void {
    switch (offset) {
      case DATA:
        if ((lcr & LCR_DLAB) !== 0) {
          latch[0] = value;
          break;
        }
        if ((mcr & MCR_LOOP) !== 0) looped = value;
        else wire.put(value);
        emptied = true;
        break;
      case IER:
        if ((lcr & LCR_DLAB) !== 0) latch[1] = value;
        else {
          // Enabling the interrupt of an empty transmitter raises it.
          if ((value & ~ier & IER_EMPTY) !== 0) emptied = true;
          ier = value & 0xf;
        }
        break;
      case IIR:
        // What waits on the line is not in the FIFO yet, so that emptying it takes no input away.
        fifos = (value & FCR_ENABLE) !== 0 ? IIR_FIFOS : 0;
        break;
      case LCR:
        lcr = value;
        break;
      case MCR:
        mcr = value & 0x1f;
        break;
      case LSR:
      case MSR:
        break; // read only
      default:
        scratch = value;
    }
  }
  return {
    read(offset) {
      const value = read(offset);
      if (offset === DATA || offset === IIR) poll();
      return value;
    },
    write(offset, value) {
      write(offset, value);
      if (offset <= IER || offset === MCR) poll();
    },
    poll,
  };
}
