// node examples/under-layer.js
//
// For those who use v86 already: `wasm_fn: underLayer(layer)` puts their machine under a layer, and nothing else changes.
// The guest is a BIOS of a few instructions that looks for CommonHV, reads its RNG twice, and tells COM1 what it saw.
import { hex } from 'commonhv';
import { underLayer } from 'commonhv/engines/v86';
import { commonhv, maskCommonhv, systemSource } from 'commonhv/hypervisor';
import { decodeRoot, decodeSignature } from 'commonhv/spec';
import { V86 } from 'v86';

const SIZE = 0x1_0000;
const bios = new Uint8Array(SIZE); // it ends at 1 MiB, and the processor starts 16 bytes before its end
bios.set([
  ...[0x66, 0xb8, 0x00, 0x00, 0x00, 0x4f, 0x0f, 0xa2], // mov eax, 4F000000H; cpuid
  ...[0x66, 0xa3, 0x00, 0x05, 0x66, 0x89, 0x1e, 0x04, 0x05], // mov [500H], eax; mov [504H], ebx
  ...[0x66, 0x89, 0x0e, 0x08, 0x05, 0x66, 0x89, 0x16, 0x0c, 0x05], // mov [508H], ecx; mov [50CH], edx
  ...[0x66, 0xb8, 0x03, 0x00, 0x00, 0x4f, 0x0f, 0xa2], // mov eax, 4F000003H; cpuid
  ...[0x66, 0xa3, 0x10, 0x05, 0x66, 0x89, 0xc1], // mov [510H], eax; mov ecx, eax
  ...[0x0f, 0x32, 0x66, 0xa3, 0x14, 0x05, 0x66, 0x89, 0x16, 0x18, 0x05], // rdmsr; mov [514H], eax; mov [518H], edx
  ...[0x0f, 0x32, 0x66, 0xa3, 0x1c, 0x05, 0x66, 0x89, 0x16, 0x20, 0x05], // rdmsr; mov [51CH], eax; mov [520H], edx
  ...[0xbe, 0x00, 0x05, 0xb9, 0x24, 0x00, 0xba, 0xf8, 0x03, 0xf3, 0x6e], // mov si, 500H; mov cx, 36; mov dx, 3F8H; rep outsb
  ...[0xfa, 0xf4], // cli; hlt
]);
bios.set([0xea, 0x00, 0x00, 0x00, 0xf0], SIZE - 16); // jmp F000H:0

const offered = commonhv({ rng: { source: systemSource() } });
for (const [name, layer] of Object.entries({ commonhv: offered, maskCommonhv })) {
  const emulator = new V86({
    wasm_fn: underLayer(layer),
    bios: { buffer: bios.buffer },
    memory_size: 2 ** 21,
    vga_memory_size: 2 ** 20,
    autostart: true,
  });
  /** @type {number[]} */
  const sent = [];
  emulator.add_listener('serial0-output-byte', (/** @type {number} */ byte) => sent.push(byte));
  await new Promise((halted) => emulator.add_listener('cpu-event-halt', halted)); // v86's types leave it out
  await emulator.destroy();

  const saw = new DataView(Uint8Array.from(sent).buffer);
  const [eax, ebx, ecx, edx, msr] = [0, 4, 8, 12, 16].map((at) => saw.getUint32(at, true));
  const there = decodeRoot({ eax, ebx, ecx, edx }) !== undefined;
  console.log(`${name}: CPUID 4F000000H is ${[eax, ebx, ecx, edx].map((word) => hex(word)).join(' ')}`);
  console.log(
    there ? `  ${decodeSignature({ ebx, ecx, edx })}, with its RNG at MSR ${hex(msr)}` : '  no CommonHV',
  );
  if (there)
    console.log(`  random values ${[20, 28].map((at) => hex(saw.getBigUint64(at, true), 16)).join(' ')}`);
}
