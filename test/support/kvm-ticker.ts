/** A guest that lives by interrupts: entered as Linux is, it prints its command line, three timer ticks, echoes, and halts at a q. */
import type { Image, Machine } from 'commonhv';
import { u32 } from './guests.ts';

/** A bzImage by the 32-bit boot protocol whose protected-mode part, at 1 MiB, is the code. */
export function bzImage(code: readonly number[]): Uint8Array {
  const image = new Uint8Array(1024 + code.length);
  const view = new DataView(image.buffer);
  view.setUint8(0x1f1, 1); // one sector of setup after the first
  view.setUint32(0x1f4, Math.ceil(code.length / 16), true);
  image.set([0xeb, 0x66], 0x200); // a jump over the header, whose end it tells
  view.setUint32(0x202, 0x5372_6448, true); // "HdrS"
  view.setUint16(0x206, 0x020a, true);
  view.setUint8(0x211, 1); // loaded high
  view.setUint32(0x214, 0x10_0000, true);
  view.setUint32(0x22c, 0x7fff_ffff, true);
  view.setUint32(0x238, 255, true);
  view.setUint32(0x260, 0x20_0000, true); // it needs 2 MiB to start
  image.set(code, 1024);
  return image;
}

const TICK = 0x10_008c;
const SERIAL = 0x10_009e;
const guest = bzImage([
  ...[0xbc, ...u32(0x9_0000)], // mov esp, 0x90000
  ...[0x8b, 0xb6, ...u32(0x228)], // mov esi, [esi + 0x228]: the zero page's command line
  ...[0x66, 0xba, 0xf8, 0x03], // mov dx, 0x3f8
  ...[0xac, 0x84, 0xc0, 0x74, 0x03, 0xee, 0xeb, 0xf8], // 1: lodsb; test al, al; jz 2f; out dx, al; jmp 1b
  ...[0xbf, ...u32(0x20_0100), 0xb8, ...u32(TICK), 0xe8, ...u32(0x52)], // 2: gate 20H of an IDT at 2 MiB
  ...[0xbf, ...u32(0x20_0120), 0xb8, ...u32(SERIAL), 0xe8, ...u32(0x43)], // gate 24H
  ...[0x0f, 0x01, 0x1d, ...u32(0x10_00b0)], // lidt
  ...[0xb0, 0x11, 0xe6, 0x20, 0xb0, 0x20, 0xe6, 0x21], // the 8259: four words, vectors from 20H
  ...[0xb0, 0x04, 0xe6, 0x21, 0xb0, 0x01, 0xe6, 0x21],
  ...[0xb0, 0xee, 0xe6, 0x21], // IRQ 0 and 4 alone
  ...[0xb0, 0x34, 0xe6, 0x43, 0xb0, 0x9c, 0xe6, 0x40, 0xb0, 0x2e, 0xe6, 0x40], // the timer: 100 Hz
  ...[0x66, 0xba, 0xf9, 0x03, 0xb0, 0x01, 0xee], // IER: received data
  ...[0x66, 0xba, 0xfc, 0x03, 0xb0, 0x0b, 0xee], // MCR: DTR, RTS, OUT2
  ...[0xbb, ...u32(3)], // mov ebx, 3
  // 3: mov esp, 0x90000; sti; hlt; jmp 3b. Handlers come back here: a KVM that emulates has no IRET in this mode.
  ...[0xbc, ...u32(0x9_0000), 0xfb, 0xf4, 0xeb, 0xf7],
  // gate: [edi] becomes an interrupt gate to eax
  ...[0x66, 0x89, 0x07, 0x8c, 0x4f, 0x02, 0xc1, 0xe8, 0x10], // mov [edi], ax; mov [edi + 2], cs; shr eax, 16
  ...[0x66, 0xc7, 0x47, 0x04, 0x00, 0x8e, 0x66, 0x89, 0x47, 0x06, 0xc3], // mov word [edi + 4], 0x8e00; mov [edi + 6], ax; ret
  // tick: the first three times, a 't'
  ...[0x85, 0xdb, 0x74, 0x08, 0x4b], // test ebx, ebx; jz 4f; dec ebx
  ...[0x66, 0xba, 0xf8, 0x03, 0xb0, 0x74, 0xee], // mov dx, 0x3f8; mov al, 't'; out dx, al
  ...[0xb0, 0x20, 0xe6, 0x20, 0xeb, 0xd1], // 4: end of interrupt; jmp 3b
  // serial: echoes, but halts for good at a 'q'
  ...[0x66, 0xba, 0xf8, 0x03, 0xec, 0x3c, 0x71, 0x75, 0x02, 0xfa, 0xf4], // in al, dx; cmp al, 'q'; jne 5f; cli; hlt
  ...[0xee, 0xb0, 0x20, 0xe6, 0x20, 0xeb, 0xbf], // 5: out dx, al; end of interrupt; jmp 3b
  ...[0x27, 0x01, ...u32(0x20_0000)], // the IDT's pseudo-descriptor
]);

export const TICKER: Image = { kernel: guest, commandLine: 'hello, ' };

/** Its console, read as output comes. */
export class Ticker {
  text = '';
  readonly #writer: WritableStreamDefaultWriter<Uint8Array>;
  #onText = (): void => {};

  constructor({ console }: Machine) {
    this.#writer = console.writable.getWriter();
    void this.#read(console.readable.getReader());
  }

  /** Waits until all output is, or matches, `expected`. */
  async until(expected: string | RegExp): Promise<void> {
    const matches = (): boolean =>
      typeof expected === 'string' ? this.text === expected : expected.test(this.text);
    while (!matches()) {
      await new Promise<void>((resolve) => {
        this.#onText = resolve;
      });
    }
  }

  send(text: string): Promise<void> {
    return this.#writer.write(new TextEncoder().encode(text));
  }

  async #read(reader: ReadableStreamDefaultReader<Uint8Array>): Promise<void> {
    for (let next = await reader.read(); !next.done; next = await reader.read()) {
      this.text += new TextDecoder().decode(next.value);
      this.#onText();
    }
  }
}
