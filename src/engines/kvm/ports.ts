/** The ports of the machine: a UART, a clock, and the ways by which guests ask to be ended. Nothing else is there. */
import type { End } from '../../cpu.ts';
import type { Uart } from './uart.ts';

export interface Ports {
  /** What a read of 1, 2 or 4 bytes gives; ones where nothing is, as on the buses of old. */
  in(port: number, size: number): number;
  out(port: number, size: number, value: number): void;
}

const COM1 = 0x3f8;
const RTC_INDEX = 0x70;
const RTC_DATA = 0x71;
const KEYBOARD = 0x64; // the keyboard controller's command and status
const KEYBOARD_RESET = 0xfe;
const RESET = 0xcf9; // the chip set's reset control
const RESET_CPU = 1 << 2;
const PM1A_CONTROL = 0x604; // where QEMU has ACPI's PM1a control on a PC, and the probe asks for power off
const SLP_EN = 1 << 13;

/** `ended` is called when the guest asks for power off or a reset: there is no reset here, both end it. */
export function ports(uart: Uart, ended: (end: End) => void, now: () => Date = () => new Date()): Ports {
  let index = 0;
  function inByte(port: number): number {
    if (port >= COM1 && port < COM1 + 8) return uart.read(port - COM1);
    if (port === RTC_DATA) return clock(index, now());
    if (port === KEYBOARD) return 0; // no key waits, and a command may be given
    return 0xff;
  }
  function outByte(port: number, value: number): void {
    if (port >= COM1 && port < COM1 + 8) uart.write(port - COM1, value);
    else if (port === RTC_INDEX) index = value & 0x7f;
    else if (port === KEYBOARD && value === KEYBOARD_RESET) reset();
    else if (port === RESET && (value & RESET_CPU) !== 0) reset();
  }
  const reset = (): void => ended({ reason: 'quit', detail: 'the guest asked for a reset' });
  return {
    in(port, size) {
      // A wider access is its bytes, at ports that follow each other (the ISA bus).
      let value = 0;
      for (let i = 0; i < size; i++) value |= inByte((port + i) & 0xffff) << (8 * i);
      return value >>> 0;
    },
    out(port, size, value) {
      if (port === PM1A_CONTROL && size === 2) {
        if ((value & SLP_EN) !== 0) ended({ reason: 'quit' });
        return;
      }
      for (let i = 0; i < size; i++) outByte((port + i) & 0xffff, (value >>> (8 * i)) & 0xff);
    },
  };
}

/** The clock's registers (Motorola MC146818A data sheet): universal time in BCD, 24 hours, never in the midst of an update. */
function clock(register: number, date: Date): number {
  const bcd = (value: number): number => (Math.floor(value / 10) << 4) | (value % 10);
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
