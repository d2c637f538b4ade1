/** The ports of the machine: a UART, a clock, and the registers by which guests power off or reset. All others are empty. */
import type { End } from '../../cpu.ts';
import { UART_STATE, type Uart } from './uart.ts';

const COM1 = 0x3f8;
const RTC_INDEX = 0x70; // its data is at the next port
const KEYBOARD = 0x64; // the keyboard controller's command and status
const KEYBOARD_RESET = 0xfe;
export const RESET = 0xcf9; // the chip set's reset control
export const RESET_CPU = 1 << 2;
export const PM1A_CONTROL = 0x604; // ACPI's PM1a control, where QEMU has it on a PC; the probe powers off there
const SCI_ENABLED = 1 << 0; // of its low byte (ACPI 6.5, table 4.11)
const SLEEP_ENABLE = 1 << 5; // of its high byte: SLP_EN, bit 13

/** Where in the devices' state the clock's index is: after the UART's. */
const CLOCK_INDEX = UART_STATE;
/** Bytes of the devices' state: the UART's, then the clock's index. */
export const DEVICE_STATE = UART_STATE + 1;

/** A device whose registers are one byte at each of `count` ports. */
export interface ByteDevice {
  readonly first: number;
  readonly count: number;
  read(offset: number): number;
  write(offset: number, value: number): void;
}

export interface PortOptions {
  readonly uart: Uart;
  /** Called when the guest powers off or asks for a reset. There is no reset here: both end the machine. */
  readonly onEnd: (end: End) => void;
  readonly state?: Uint8Array | undefined;
  /** Devices of this machine alone. */
  readonly more?: readonly ByteDevice[] | undefined;
  readonly now?: (() => Date) | undefined;
}

/**
 * The first port of an access selects the device, as on a PC: the bytes of a wider access stay within that device. So a
 * 32-bit write to CF8H (PCI's address register, absent here) is no write to the reset control at CF9H. Reads of ports
 * without a device return ones.
 */
export class Ports {
  readonly #devices: readonly ByteDevice[];

  constructor({
    uart,
    onEnd,
    state = new Uint8Array(DEVICE_STATE),
    more = [],
    now = () => new Date(),
  }: PortOptions) {
    const reset = (): void => onEnd({ reason: 'quit', detail: 'the guest asked for a reset' });
    this.#devices = [
      ...more,
      {
        first: COM1,
        count: 8,
        read: (offset) => uart.read(offset),
        write: (offset, value) => uart.write(offset, value),
      },
      {
        first: RTC_INDEX,
        count: 2,
        read: (offset) => (offset === 0 ? 0xff : clock(state[CLOCK_INDEX]!, now())),
        write(offset, value) {
          if (offset === 0) state[CLOCK_INDEX] = value & 0x7f;
        },
      },
      {
        first: KEYBOARD,
        count: 1,
        read: () => 0, // no key waits, and a command may be given
        write: (_, value) => value === KEYBOARD_RESET && reset(),
      },
      { first: RESET, count: 1, read: () => 0, write: (_, value) => (value & RESET_CPU) !== 0 && reset() },
      {
        first: PM1A_CONTROL,
        count: 2,
        read: (offset) => (offset === 0 ? SCI_ENABLED : 0),
        write(offset, value) {
          if (offset === 1 && (value & SLEEP_ENABLE) !== 0) {
            onEnd({ reason: 'quit', detail: 'the guest powered off' });
          }
        },
      },
    ];
  }

  /** Reads 1, 2 or 4 bytes. */
  in(port: number, size: number): number {
    const device = this.#deviceAt(port);
    let value = 0;
    for (let i = 0; i < size; i++) {
      const offset = device === undefined ? 0 : port - device.first + i;
      const byte = device !== undefined && offset < device.count ? device.read(offset) : 0xff;
      value |= byte << (8 * i);
    }
    return value >>> 0;
  }

  out(port: number, size: number, value: number): void {
    const device = this.#deviceAt(port);
    if (device === undefined) return;
    const from = port - device.first;
    for (let i = 0; i < size && from + i < device.count; i++) {
      device.write(from + i, (value >>> (8 * i)) & 0xff);
    }
  }

  #deviceAt(port: number): ByteDevice | undefined {
    return this.#devices.find(({ first, count }) => port >= first && port < first + count);
  }
}

/** The clock's registers (Motorola MC146818A data sheet): universal time in BCD, 24 hours, never during an update. */
function clock(register: number, date: Date): number {
  switch (register) {
    case 0x00:
      return bcd(date.getUTCSeconds());
    case 0x02:
      return bcd(date.getUTCMinutes());
    case 0x04:
      return bcd(date.getUTCHours());
    case 0x06:
      return date.getUTCDay() + 1;
    case 0x07:
      return bcd(date.getUTCDate());
    case 0x08:
      return bcd(date.getUTCMonth() + 1);
    case 0x09:
      return bcd(date.getUTCFullYear() % 100);
    case 0x32:
      return bcd(Math.floor(date.getUTCFullYear() / 100));
    case 0x0a:
      return 0x26; // 32,768 Hz, and no update in progress
    case 0x0b:
      return 0x02; // 24 hours
    case 0x0d:
      return 0x80; // the battery is good
    default:
      return 0;
  }
}

const bcd = (value: number): number => (Math.floor(value / 10) << 4) | (value % 10);
