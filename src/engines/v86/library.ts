/** The one file that imports v86, and the parts of it that the engine touches, by the names of its source. */

/** A `V86` object, and the inner one that it drives (v86's `src/browser/starter.js`, `src/main.js`, `src/cpu.js`). */
export interface Emulator {
  readonly v86: {
    readonly running: boolean;
    readonly cpu: Processor;
    stop(): void;
    next_tick(milliseconds: number): void;
    yield(milliseconds: number, tick: number): void;
    yield_callback(tick: number): void;
  };
  add_listener(event: string, listener: (value: never) => void): void;
  run(): Promise<void>;
  stop(): Promise<void>;
  destroy(): Promise<void>;
  save_state(): Promise<ArrayBuffer>;
  restore_state(state: ArrayBuffer): Promise<void>;
  /** A view of guest RAM. */
  read_memory(address: number, length: number): Uint8Array;
  write_memory(bytes: Uint8Array, address: number): void;
  serial_set_clear_to_send(line: number, on: boolean): void;
  serial_set_data_set_ready(line: number, on: boolean): void;
  serial_set_carrier_detect(line: number, on: boolean): void;
}

/** A serial port (v86's `src/uart.js`). */
export interface Uart {
  readonly modem_control: number;
  readonly line_control: number;
  readonly fifo_control: number;
  readonly ier: number;
  lsr: number;
  /** Characters that the guest has not taken yet. */
  input: number[];
  write_data(byte: number): void;
  ThrowInterrupt(cause: number): void;
}

interface Processor {
  readonly devices: {
    readonly uart0: Uart;
    readonly pci: { readonly device_spaces: (Int32Array | undefined)[]; readonly pci_addr: Uint8Array };
  };
  readonly io: {
    /** Registers the handlers of writes of 8, 16 and 32 bits; one that is not given stays as it was. */
    register_write(
      port: number,
      device: object,
      byte: ((value: number) => void) | undefined,
      word?: ((value: number) => void) | undefined,
      double?: (value: number) => void,
    ): void;
  };
  readonly reg32: Int32Array;
  readonly cr: Int32Array;
  readonly protected_mode: Int32Array;
  readonly is_32: Int32Array;
  readonly stack_size_32: Int32Array;
  readonly flags: Int32Array;
  readonly gdtr_size: Int32Array;
  readonly gdtr_offset: Int32Array;
  readonly segment_is_null: Uint8Array;
  readonly segment_offsets: Int32Array;
  readonly segment_limits: Uint32Array;
  readonly segment_access_bytes: Uint8Array;
  readonly sreg: Uint16Array;
  readonly instruction_pointer: Int32Array;
  readonly memory_size: Uint32Array;
  // Restoring replaces these three views by copies, instead of filling them.
  last_result: Int32Array;
  fpu_status_word: Uint16Array;
  mxcsr: Int32Array;
  update_state_flags(): void;
}

export interface Options {
  readonly wasm_fn: (imports: WebAssembly.Imports) => Promise<WebAssembly.Exports>;
  readonly memory_size: number;
  readonly vga_memory_size: number;
  readonly disable_keyboard: boolean;
  readonly disable_mouse: boolean;
  readonly disable_speaker: boolean;
}

/** Imports v86 (64 ms: only once something is to run). */
export async function emulatorOf(): Promise<new (options: Options) => Emulator> {
  const { V86 } = await import('v86');
  return V86 as unknown as new (
    options: Options,
  ) => Emulator;
}
