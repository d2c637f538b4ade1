/** Random words as a stream of bytes, little-endian: out of the layer in this process, or through a guest's RDMSRs. */
import { bare, type Machine } from 'commonhv';
import { commonhv, systemSource } from 'commonhv/hypervisor';
import { kernel, u32 } from '../../test/support/guests.ts';

const RNG = 0x4000_00a0;
/** The layer, and a guest's image for `throughGuest`. */
export const layer = () => commonhv({ rng: { source: systemSource() } });

/** As many bytes as are taken. */
export function* inProcess(): Generator<Uint8Array> {
  const cpu = layer()(bare);
  const chunk = new Uint8Array(65_536);
  const view = new DataView(chunk.buffer);
  for (;;) {
    for (let at = 0; at < chunk.length; at += 8) view.setBigUint64(at, cpu.rdmsr(RNG) as bigint, true);
    yield chunk;
  }
}

/** A guest reads the RNG into a buffer and sends the buffer over its serial line, for ever. */
export const sending: Uint8Array = (() => {
  const buffer = 0x20_0000;
  const size = 4096;
  const read = [0x0f, 0x32, 0x89, 0x07, 0x89, 0x57, 0x04, 0x83, 0xc7, 0x08]; // rdmsr; mov [edi], eax; mov [edi+4], edx; add edi, 8
  const more = [0x81, 0xff, ...u32(buffer + size)]; // cmp edi, buffer + size
  const back = (body: readonly number[]) => [...body, 0x75, (-body.length - 2) & 0xff]; // jne
  const body = [
    ...[0xbf, ...u32(buffer), 0xb9, ...u32(RNG)], // mov edi, buffer; mov ecx, RNG
    ...back([...read, ...more]),
    ...[0xbe, ...u32(buffer), 0xb9, ...u32(size), 0x66, 0xba, 0xf8, 0x03], // mov esi, buffer; mov ecx, size; mov dx, 3f8h
    ...[0xf3, 0x6e], // rep outsb
  ];
  return kernel([...body, 0xe9, ...u32(-body.length - 5)]); // jmp
})();

/** What a guest that runs `sending` sends; closes it in the end. */
export async function* throughGuest(start: Promise<Machine>): AsyncGenerator<Uint8Array> {
  const machine = await start;
  const reader = machine.console.readable.getReader();
  try {
    for (let next = await reader.read(); !next.done; next = await reader.read()) yield next.value;
    throw new Error(`the guest ended: ${(await machine.ended).detail}`);
  } finally {
    await machine.close();
  }
}
