/** A v86 machine without firmware: powered on, its memory empty, its processor under a layer, and not yet running. */
import type { Layer, SyncCpu } from '../../cpu.ts';
import { MachineError } from '../../cpu.ts';
import { type Exports, makeHook } from './hook.ts';
import { type Emulator, emulatorOf } from './library.ts';
import { GuestRam } from './memory.ts';

/** The machine's events. */
export interface Events {
  /** v86 would run its guest for about a millisecond: `run` does it. Gives the time until the next call, in ms. */
  slice(run: () => number): number;
  /** The guest has read COM1's line status. */
  polled(status: number): void;
  /** The guest has reset its machine. */
  reset(): void;
  /** v86 gives up, and says why. */
  panic(text: string): void;
}

export interface Board {
  readonly emulator: Emulator;
  /** v86's module: its memory holds the processor's state (`hook.ts`). */
  readonly exports: Exports;
  /** The guest's view: the layer's processor. */
  readonly cpu: SyncCpu;
}

export interface Sizes {
  /** Guest memory and video memory in bytes; v86 rounds up to 128 KiB. */
  readonly memory: number;
  readonly videoMemory: number;
}

/** The set-up of a machine; a saved one is resumed with the same. */
export interface Setup extends Sizes {
  /** The guest takes its input by interrupt, as Linux does: its driver discards earlier input. */
  readonly byInterrupt: boolean;
}

/** Rejects with the layer's exception, or with a `MachineError`. `events` are called once it has resolved. */
export async function powerOn(
  module: WebAssembly.Module,
  layer: Layer,
  { memory, videoMemory }: Sizes,
  resumed: boolean,
  events: Events,
): Promise<Board> {
  const V86 = await emulatorOf();
  return new Promise((resolve, reject) => {
    let board: Board | undefined;
    let exports: Exports;
    let cpu: SyncCpu;
    let starved = false;
    const ram = new GuestRam();
    const emulator = new V86({
      // v86 has no catch for this promise: it is never rejected, and where it is never resolved v86 just waits.
      async wasm_fn({ env }) {
        try {
          const panic = (at: number, size: number) => events.panic(text(exports.memory, at, size));
          const readByte = env!.io_port_read8 as (port: number) => number;
          const io_port_read8 = (port: number) => {
            const value = readByte(port);
            if (port === LINE_STATUS) events.polled(value);
            return value;
          };
          const hook = makeHook({ ...env, io_port_read8, console_log_from_wasm: panic }, layer, {
            memory: ram,
            resumed,
          });
          const instance = await WebAssembly.instantiate(module, { env: hook.env });
          exports = instance.exports as unknown as Exports;
          ram.attach(exports);
          cpu = hook.attach(exports);
        } catch (cause) {
          reject(cause);
          return new Promise(() => {});
        }
        return {
          ...exports,
          rust_init() {
            hideWorker();
            exports.rust_init();
          },
          allocate_memory(size: number) {
            const address = exports.allocate_memory(size);
            if (address === 0) starved = true;
            ram.allocated(address, size);
            return address;
          },
          main_loop: () => (board === undefined ? 0 : events.slice(exports.main_loop)),
          // Called once by v86 itself, then whenever the guest resets.
          reset_cpu: () => (board === undefined ? exports.reset_cpu() : events.reset()),
        } as unknown as WebAssembly.Exports;
      },
      memory_size: memory,
      vga_memory_size: videoMemory,
      disable_keyboard: true,
      disable_mouse: true,
      disable_speaker: true,
    });
    emulator.add_listener('emulator-loaded', () => {
      if (starved) return reject(new MachineError(`v86: no ${memory / 2 ** 20} MiB of memory for the guest`));
      try {
        settle(emulator);
        board = { emulator, exports, cpu };
        resolve(board);
      } catch (cause) {
        reject(new MachineError(`v86: cannot be started: ${(cause as Error).message}`, { cause }));
      }
    });
  });
}

/** The part that v86 leaves to its firmware, and the lines of a modem cable that is plugged in. */
function settle(emulator: Emulator): void {
  // The disk controller's addresses stay without a firmware as v86 left them: of no use, and restoring trips over them.
  emulator.v86.cpu.devices.pci.device_spaces[DISK_CONTROLLER]?.fill(0, 4, 8);
  emulator.serial_set_carrier_detect(0, true);
  emulator.serial_set_data_set_ready(0, true);
  emulator.serial_set_clear_to_send(0, true);
  if (typeof process === 'undefined') yieldByMessages(emulator);
  else yieldByTimers(emulator);
}

/** COM1's line status register. */
const LINE_STATUS = 0x3fd;

/** PCI device 1EH, function 0, as v86 numbers them. */
const DISK_CONTROLLER = 0x1e << 3;

declare const process: unknown;
declare const setImmediate: (callback: () => void) => unknown;

/**
 * In a page v86 makes a worker of a blob: address, only to be woken without delay; where the page's policy forbids that, it
 * hangs without a word. It makes it in the same turn in which it calls `rust_init`, so for just that turn it gets one that does nothing.
 */
function hideWorker(): void {
  if (typeof process !== 'undefined' || typeof Worker === 'undefined') return;
  const real = globalThis.Worker;
  globalThis.Worker = class {
    postMessage() {}
    terminate() {}
  } as unknown as typeof Worker;
  queueMicrotask(() => {
    globalThis.Worker = real;
  });
}

/** A message to oneself wakes at once, where a timer waits 4 ms. */
function yieldByMessages({ v86 }: Emulator): void {
  const { port1, port2 } = new MessageChannel();
  port1.onmessage = ({ data }: MessageEvent<number>) => v86.yield_callback(data);
  v86.yield = (milliseconds, tick) => {
    if (milliseconds < 1) port2.postMessage(tick);
    else setTimeout(() => v86.yield_callback(tick), milliseconds);
  };
}

/** A timer waits 1 ms at least; v86 would spin through less, and an idle Linux, woken every 4 ms, take a third of a processor. */
function yieldByTimers({ v86 }: Emulator): void {
  v86.yield = (milliseconds, tick) => {
    if (milliseconds > 0) setTimeout(() => v86.yield_callback(tick), milliseconds);
    else setImmediate(() => v86.yield_callback(tick));
  };
}

function text(memory: WebAssembly.Memory, at: number, size: number): string {
  return new TextDecoder().decode(new Uint8Array(memory.buffer, at >>> 0, size >>> 0));
}
