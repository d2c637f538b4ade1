/** v86 as its own users have it: under a layer by `underLayer`, with a BIOS of the test's. */
import type { Layer } from 'commonhv';
import { underLayer } from 'commonhv/engines/v86';
import { V86 } from 'v86';

const MiB = 2 ** 20;

/** An emulator with 2 MiB that does not run yet, and can save and restore; the caller destroys it. */
export async function plainV86(layer: Layer, bios: Uint8Array<ArrayBuffer>): Promise<V86> {
  const emulator = new V86({
    wasm_fn: underLayer(layer),
    bios: { buffer: bios.buffer },
    memory_size: 2 * MiB,
    vga_memory_size: MiB,
    autostart: false,
    disable_keyboard: true,
    disable_mouse: true,
    disable_speaker: true,
  });
  await new Promise<void>((resolve) => emulator.add_listener('emulator-loaded', resolve as never));
  // Without a firmware that sets PCI up, v86 cannot restore: so do what a firmware would.
  type Pci = { v86: { cpu: { devices: { pci: { device_spaces: Int32Array[] } } } } };
  (emulator as unknown as Pci).v86.cpu.devices.pci.device_spaces[0x1e << 3]!.fill(0, 4, 8);
  return emulator;
}
