/** A v86 machine without firmware: powered on, its memory empty, its processor under a layer, and not yet running. */
import type { Layer, SyncCpu } from '../../cpu.ts';
import { MachineError } from '../../cpu.ts';
import { type Exports, Hook, SLICE_MS, withExports } from './hook.ts';
import { type Emulator, emulatorOf } from './library.ts';
import { GuestRam } from './memory.ts';
import { LINE_STATUS, lineStatus } from './uart.ts';

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
  /** v86's module: its memory holds the processor's state (`registers.ts`). */
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
  const wiring = new Wiring(events);
  return new Promise((resolve, reject) => {
    const emulator = new V86({
      wasm_fn: ({ env }) =>
        // v86 has no catch for this promise: it is never rejected, and where it is never resolved v86 just waits.
        wiring.instantiate(module, env!, layer, resumed).catch((cause: unknown) => {
          reject(cause);
          return new Promise(() => {});
        }),
      memory_size: memory,
      vga_memory_size: videoMemory,
      disable_keyboard: true,
      disable_mouse: true,
      disable_speaker: true,
    });
    emulator.add_listener('emulator-loaded', () => {
      if (wiring.starved)
        return reject(new MachineError(`v86: no ${memory / 2 ** 20} MiB of memory for the guest`));
      try {
        settle(emulator);
        resolve(wiring.connect(emulator));
      } catch (cause) {
        reject(new MachineError(`v86: cannot be started: ${(cause as Error).message}`, { cause }));
      }
    });
  });
}

/** v86's module between v86 and this engine: the imports that it gets, and the exports that v86 gets. */
class Wiring {
  /** The module had no memory for the guest. */
  starved = false;
  readonly #events: Events;
  readonly #ram = new GuestRam();
  #exports!: Exports;
  #cpu!: SyncCpu;
  #board: Board | undefined;

  constructor(events: Events) {
    this.#events = events;
  }

  async instantiate(
    module: WebAssembly.Module,
    env: WebAssembly.ModuleImports,
    layer: Layer,
    resumed: boolean,
  ): Promise<WebAssembly.Exports> {
    const hook = new Hook(this.#imports(env), layer, {
      memory: this.#ram,
      resumed,
      sliceMs: SLICE_MS,
    });
    const instance = await WebAssembly.instantiate(module, { env: hook.env });
    this.#exports = instance.exports as unknown as Exports;
    this.#ram.attach(this.#exports);
    this.#cpu = hook.attach(this.#exports);
    return this.#exportsForV86();
  }

  /** From here on the events are called. */
  connect(emulator: Emulator): Board {
    this.#board = { emulator, exports: this.#exports, cpu: this.#cpu };
    return this.#board;
  }

  #imports(env: WebAssembly.ModuleImports): WebAssembly.ModuleImports {
    const readByte = env.io_port_read8 as (port: number) => number;
    return {
      ...env,
      io_port_read8: (port: number) => {
        if (port !== LINE_STATUS || this.#board === undefined) return readByte(port);
        const value = lineStatus(this.#board.emulator);
        this.#events.polled(value);
        return value;
      },
      console_log_from_wasm: (at: number, size: number) =>
        this.#events.panic(text(this.#exports.memory, at, size)),
    };
  }

  #exportsForV86(): WebAssembly.Exports {
    const exports = this.#exports;
    return withExports(exports, {
      rust_init() {
        hideWorker();
        exports.rust_init();
      },
      allocate_memory: (size: number) => {
        const address = exports.allocate_memory(size);
        if (address === 0) this.starved = true;
        this.#ram.allocated(address, size);
        return address;
      },
      main_loop: () => (this.#board === undefined ? 0 : this.#events.slice(exports.main_loop)),
      // Called once by v86 itself, then whenever the guest resets.
      reset_cpu: () => (this.#board === undefined ? exports.reset_cpu() : this.#events.reset()),
    });
  }
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
  let rest: { readonly tick: number; readonly ends: number } | undefined;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let fires = 0;
  // One timer at a time: a guest that answers a question every 0.1 ms would begin a rest, and break it off, as often.
  const wait = (until: number): void => {
    if (timer !== undefined && fires <= until) return;
    clearTimeout(timer);
    fires = until;
    timer = setTimeout(() => {
      timer = undefined;
      if (rest === undefined) return;
      // A timer may be a millisecond early, and takes one at least.
      if (performance.now() < rest.ends - 1) wait(rest.ends);
      else v86.yield_callback(rest.tick);
    }, until - performance.now());
  };
  v86.yield = (milliseconds, tick) => {
    if (milliseconds > 0) {
      rest = { tick, ends: performance.now() + milliseconds };
      wait(rest.ends);
    } else {
      rest = undefined;
      setImmediate(() => v86.yield_callback(tick));
    }
  };
}

function text(memory: WebAssembly.Memory, at: number, size: number): string {
  return new TextDecoder().decode(new Uint8Array(memory.buffer, at >>> 0, size >>> 0));
}
