/**
 * COM1 without v86's detours: its release build still formats each byte for a debug log that it does not keep, and passes it
 * through a bus of named events, which costs more than the rest of a character. The registers are v86's own (its `src/uart.js`).
 */
import type { Emulator, Uart } from './library.ts';

const COM1 = 0x3f8;
/** COM1's line status register. */
export const LINE_STATUS = COM1 + 5;

/** v86's numbers of the interrupt's causes. */
const TRANSMITTER_EMPTY = 2;
const RECEIVED = 4;
const RECEIVED_FIFO = 12;

const DATA_READY = 1;
const LOOPBACK = 1 << 4; // of the modem control register
const DIVISOR_LATCH = 1 << 7; // of the line control register
const FIFO = 1; // of the FIFO control register

const uartOf = ({ v86 }: Emulator): Uart => v86.cpu.devices.uart0;

/** `sent` is called with each byte out of the guest. */
export function onOutput(emulator: Emulator, sent: (byte: number) => void): void {
  const uart = uartOf(emulator);
  emulator.add_listener('serial0-output-byte', sent); // from 16-bit writes
  emulator.v86.cpu.io.register_write(COM1, uart, (byte) => {
    const plain = (uart.line_control & DIVISOR_LATCH) === 0 && (uart.modem_control & LOOPBACK) === 0;
    if (!plain) return uart.write_data(byte);
    uart.ThrowInterrupt(TRANSMITTER_EMPTY);
    sent(byte);
  });
}

/** Characters for the guest, which the serial port has room for. */
export function receive(emulator: Emulator, bytes: Uint8Array): void {
  const uart = uartOf(emulator);
  uart.input.push(...bytes);
  uart.lsr |= DATA_READY;
  uart.ThrowInterrupt((uart.fifo_control & FIFO) !== 0 ? RECEIVED_FIFO : RECEIVED);
}

export const lineStatus = (emulator: Emulator): number => uartOf(emulator).lsr;
