/**
 * A guest that looks at its VM generation device when asked: for each byte that it receives it sends the device's 16 bytes,
 * the status of its event, the interrupt requests of the second 8259, and the low half of MSR_COMMONHV_GENERATION. A c
 * clears the event's status afterwards.
 */
import type { Image, Machine } from 'commonhv';
import { RECEIVE_AL, u32 } from './guests.ts';
import { bzImage } from './kvm-ticker.ts';

const ANSWER = 22;
const COM1 = [0x66, 0xba, 0xf8, 0x03]; // mov dx, 0x3f8
const GPE = [0x66, 0xba, 0x20, 0x06]; // mov dx, 0x620
const LOOK = [
  ...[0x88, 0xc3], // mov bl, al
  ...[0xbe, ...u32(0xf_f000), 0xb9, ...u32(16), ...COM1], // mov esi, 0xff000; mov ecx, 16
  ...[0xac, 0xee, 0xe2, 0xfc], // 1: lodsb; out dx, al; loop 1b
  ...[...GPE, 0xec, ...COM1, 0xee], // in al, dx; out
  ...[0xe4, 0xa0, 0xee], // in al, 0xa0; out dx, al
  ...[0xb9, ...u32(0x4000_00a1), 0x0f, 0x32, ...COM1, 0xb9, ...u32(4)], // rdmsr; mov ecx, 4
  ...[0xee, 0xc1, 0xe8, 0x08, 0xe2, 0xfa], // 2: out dx, al; shr eax, 8; loop 2b
];
const CLEAR = [...GPE, 0xb0, 0x01, 0xee]; // mov al, 1; out dx, al
const LOOP = [...RECEIVE_AL, ...LOOK, 0x80, 0xfb, 0x63, 0x75, CLEAR.length, ...CLEAR]; // cmp bl, 'c'; jne over it

export const GENERATION_GUEST: Image = {
  kernel: bzImage([
    ...[0xbc, ...u32(0x9_0000)], // mov esp, 0x90000
    ...[0x66, 0xba, 0xd1, 0x04, 0xb0, 0x02, 0xee], // interrupt 9 is level-triggered: its request follows the line
    ...[0x66, 0xba, 0x21, 0x06, 0xb0, 0x01, 0xee], // the event is enabled
    ...LOOP,
    ...[0xe9, ...u32(-(LOOP.length + 5) >>> 0)], // jmp to the loop's beginning
  ]),
};

export interface Seen {
  readonly id: string;
  /** Whether the event is pending. */
  readonly pending: boolean;
  /** Whether the interrupt line is high. */
  readonly line: boolean;
  /** The generation's low half. */
  readonly generation: number;
}

/** A function that asks the guest. */
export function looker({ console }: Machine): (clear?: boolean) => Promise<Seen> {
  const reader = console.readable.getReader();
  const writer = console.writable.getWriter();
  return async (clear = false) => {
    await writer.write(Uint8Array.of((clear ? 'c' : 'l').charCodeAt(0)));
    let bytes = Buffer.alloc(0);
    while (bytes.length < ANSWER) {
      const { value, done } = await reader.read();
      if (done) throw new Error('the guest ended');
      bytes = Buffer.concat([bytes, value]);
    }
    return {
      id: bytes.toString('hex', 0, 16),
      pending: (bytes[16]! & 1) === 1,
      line: (bytes[17]! & 2) === 2,
      generation: bytes.readUInt32LE(18),
    };
  };
}
