/** v86 as anybody uses it, to compare with: a 64 KiB firmware of our own that does nothing but enter a kernel. */
import { readFile } from 'node:fs/promises';
import { type Image, type Layer, MachineError } from 'commonhv';
import { load } from 'commonhv/boot';
import { underLayer } from 'commonhv/engines/v86';

const u32 = (value: number) => [0, 8, 16, 24].map((shift) => (value >>> shift) & 0xff);
const SIZE = 0x1_0000;

/** The reset vector's code and what it needs, at F0000H: into flat 32-bit mode, then to the kernel's entry. */
function firmware({ entry, registers, gdt }: ReturnType<typeof load>): Uint8Array<ArrayBuffer> {
  const rom = new Uint8Array(SIZE);
  const flat = 0x20;
  rom.set([...[gdt.limit & 0xff, gdt.limit >> 8], ...u32(gdt.address)], 0x00);
  rom.set(
    [
      ...[0x2e, 0x66, 0x0f, 0x01, 0x16, 0x00, 0x00], // lgdt cs:[0]
      ...[0x0f, 0x20, 0xc0, 0x0c, 0x01, 0x0f, 0x22, 0xc0], // cr0 |= 1
      ...[0x66, 0xea, ...u32(0xf_0000 + 0x40), gdt.code, 0], // far jump to the 32-bit part
    ],
    flat,
  );
  rom.set(
    [
      ...[0x66, 0xb8, gdt.data, 0, 0x8e, 0xd8, 0x8e, 0xc0, 0x8e, 0xd0, 0x8e, 0xe0, 0x8e, 0xe8], // the data segments
      ...[0xb8, ...u32(registers.eax), 0xbb, ...u32(registers.ebx), 0xbe, ...u32(registers.esi)],
      ...[0x31, 0xed, 0x31, 0xff, 0xb9, ...u32(entry), 0xff, 0xe1], // ebp, edi = 0; jmp ecx
    ],
    0x40,
  );
  rom.set([0xe9, (flat - 0xfff3) & 0xff, ((flat - 0xfff3) >> 8) & 0xff], 0xfff0);
  return rom;
}

export interface Run {
  /** What the guest sends, byte by byte, as it sends it; and for how many milliseconds the guest has run by then. */
  onByte(byte: number, ran: number): void;
  /** `undefined`: v86 as it comes, without the hook. */
  readonly layer: Layer | undefined;
  readonly memory: number;
}

let module: Promise<WebAssembly.Module> | undefined;
/** v86's module as it comes; compiled once, as the engine does with the hooked one. */
async function plain({ env }: WebAssembly.Imports): Promise<WebAssembly.Exports> {
  module ??= readFile('node_modules/v86/build/v86.wasm').then((bytes) =>
    WebAssembly.compile(new Uint8Array(bytes)),
  );
  return (await WebAssembly.instantiate(await module, { env: env! })).exports;
}

/**
 * Starts a kernel; gives back what ends it. Several machines in one process take turns of about a millisecond, and only a
 * machine's own turns count: so what else the computer does, and how fast it is just now, slows all of them alike.
 */
export async function start(image: Image, { onByte, layer, memory }: Run): Promise<() => Promise<void>> {
  const { V86 } = await import('v86');
  const loaded = load(image, memory);
  let before = 0;
  let turn = 0;
  const counted = async (imports: WebAssembly.Imports) => {
    const exports = await (layer === undefined ? plain : underLayer(layer))(imports);
    const run = exports.main_loop as () => number;
    const main_loop = () => {
      turn = performance.now();
      try {
        return run();
      } finally {
        before += performance.now() - turn;
      }
    };
    return { ...exports, main_loop };
  };
  const emulator = new V86({
    wasm_fn: counted,
    bios: { buffer: firmware(loaded).buffer },
    memory_size: memory,
    vga_memory_size: 2 ** 20,
    autostart: false,
    disable_keyboard: true,
    disable_mouse: true,
    disable_speaker: true,
  });
  const late = new Promise<never>((_, reject) => {
    setTimeout(() => reject(new MachineError('v86 did not load')), 30_000).unref();
  });
  await Promise.race([
    new Promise((done) => emulator.add_listener('emulator-loaded', done as () => void)),
    late,
  ]);
  for (const { address, bytes } of loaded.segments) emulator.write_memory(bytes, address);
  const hear = (byte: number) => onByte(byte, before + performance.now() - turn);
  emulator.add_listener('serial0-output-byte', hear as never);
  emulator.serial_set_clear_to_send(0, true);
  await emulator.run();
  return () => emulator.destroy();
}

const READY = 'guest ready: Linux';
const TIMEOUT_MS = 300_000; // milliseconds

/** Starts the stock guest, and resolves once it is at its shell: for how many seconds it ran until then, and what ends it. */
export async function toShell(
  image: Image,
  layer: Layer | undefined,
): Promise<{ seconds: number; stop: () => Promise<void> }> {
  let heard = '';
  let done: (seconds: number) => void;
  const ready = new Promise<number>((resolve) => {
    done = resolve;
  });
  const stop = await start(image, {
    layer,
    memory: 128 * 2 ** 20,
    onByte(byte, ran) {
      heard = (heard + String.fromCharCode(byte)).slice(-READY.length);
      if (heard === READY) done(ran / 1000);
    },
  });
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new MachineError(`no shell within ${TIMEOUT_MS / 1000} s`)), TIMEOUT_MS);
  });
  const seconds = await Promise.race([ready, late]).finally(() => clearTimeout(timer));
  return { seconds, stop };
}
