/** A running v86 machine: its console, how it ends, pausing, saving and restoring. */
import {
  type Console,
  type End,
  hex,
  type Layer,
  MachineError,
  type MachineMemory,
  type SavableMachine,
} from '../../cpu.ts';
import { checkedRam } from '../ram.ts';
import { type Board, type Events, powerOn, type Setup } from './board.ts';
import { ConsoleLine } from './console.ts';
import { FLAGS, IN_HLT, INSTRUCTION_POINTER } from './registers.ts';
import { SerialInput } from './serial-input.ts';
import { readState, restoreState, saveState } from './state.ts';
import { onOutput } from './uart.ts';

/** A word with bit 13 set, written here, turns the machine off: QEMU's ACPI PM1a control register, which v86 lacks. */
const POWER_PORT = 0x604;
const SLEEP_ENABLE = 1 << 13;

/** PCI's address register, of 32 bits (PCI Local Bus Specification 3.0, 3.2.2.3.2). */
const PCI_ADDRESS = 0xcf8;

const INTERRUPT_FLAG = 1 << 9;
/** How long to wait, in ms, before looking again whether the reader has caught up, where it does not say so itself. */
const TIMEOUT_MS = 20;

/** Builds a machine, lets `prepare` fill it, and runs it. */
export async function makeMachine(
  module: WebAssembly.Module,
  layer: Layer,
  setup: Setup,
  resumed: boolean,
  prepare: (board: Board) => void | Promise<void>,
): Promise<SavableMachine> {
  const machine = new RunningMachine(setup);
  const board = await powerOn(module, layer, setup, resumed, machine.events);
  await machine.run(board, prepare);
  return machine;
}

class RunningMachine implements SavableMachine {
  readonly console: Console;
  readonly ended: Promise<End>;
  readonly memory: MachineMemory;
  /** For its board. */
  readonly events: Events;
  readonly #setup: Setup;
  readonly #line: ConsoleLine;
  readonly #input: SerialInput;
  /** There once it runs. */
  #board: Board | undefined;
  #over: End | undefined;
  #released: Promise<void> = Promise.resolve();
  #lastWords = '';
  #end!: (end: End) => void;
  #last: Promise<unknown> = Promise.resolve();

  constructor(setup: Setup) {
    this.#setup = setup;
    const emulator = (): Board['emulator'] => this.#running().emulator;
    const ram: MachineMemory = {
      read: (address, length) => emulator().read_memory(address, length).slice(),
      write: (address, bytes) => emulator().write_memory(bytes, address),
    };
    this.memory = checkedRam(ram, setup.memory, emulator);
    this.#line = new ConsoleLine(() => this.#wake());
    this.#input = new SerialInput(this.#line, setup.byInterrupt);
    this.console = this.#line.console;
    this.ended = new Promise<End>((resolve) => {
      this.#end = resolve;
    });
    this.events = {
      slice: (run) => this.#slice(run),
      polled: (status) => this.#board && this.#input.polled(this.#board, status),
      reset: () => this.#stopShort({ reason: 'quit', detail: 'the guest reset its machine' }),
      panic: (text) => {
        this.#lastWords = text;
      },
    };
  }

  /** A machine that `prepare` cannot fill has ended. */
  async run(board: Board, prepare: (board: Board) => void | Promise<void>): Promise<void> {
    this.#board = board;
    const { emulator } = board;
    onOutput(emulator, (byte) => {
      this.#input.sent();
      this.#line.sent(byte);
    });
    const { io, devices } = emulator.v86.cpu;
    const powerControl = (value: number): void => {
      if ((value & SLEEP_ENABLE) !== 0) this.#stopShort({ reason: 'quit', detail: 'the guest powered off' });
    };
    io.register_write(POWER_PORT, {}, undefined, powerControl, powerControl);
    // v86 splits this access into bytes, and the second one then counts as a write to the reset control at CF9H.
    io.register_write(PCI_ADDRESS, devices.pci, undefined, undefined, (value) => {
      for (let i = 0; i < 4; i++) devices.pci.pci_addr[i] = (value >>> (8 * i)) & (i === 0 ? 0xfc : 0xff);
    });
    try {
      await prepare(board);
    } catch (cause) {
      this.#finish({ reason: 'failed', cause });
      throw cause;
    }
    await emulator.run();
  }

  async close(): Promise<void> {
    this.#finish({ reason: 'closed' });
    await this.#released;
  }

  pause(): Promise<void> {
    return this.#inTurn(({ emulator }) => emulator.stop());
  }

  unpause(): Promise<void> {
    return this.#inTurn(({ emulator }) => emulator.run());
  }

  save(): Promise<Uint8Array> {
    return this.#inTurn((board) => saveState(board, this.#setup));
  }

  restore(bytes: Uint8Array): Promise<void> {
    return this.#inTurn(async (board) => {
      const saved = readState(bytes);
      const { memory, videoMemory } = saved.setup;
      if (memory !== this.#setup.memory || videoMemory !== this.#setup.videoMemory) {
        throw new TypeError(
          `state: of a machine with ${memory} bytes of memory; this one has ${this.#setup.memory}`,
        );
      }
      try {
        await restoreState(board, saved);
      } catch (cause) {
        // Half of one machine, half of another: nothing to go on with.
        this.#finish({ reason: 'failed', detail: (cause as Error).message, cause });
        throw cause;
      }
      this.#wake();
    });
  }

  #slice(run: () => number): number {
    const board = this.#board;
    if (board === undefined || this.#over !== undefined) return 0;
    if (this.#line.full) return TIMEOUT_MS;
    this.#input.feed(board);
    let rest = 0;
    try {
      board.cpu.poll?.();
      rest = run();
      this.#input.sliceOver(board, this.#over !== undefined);
    } catch (cause) {
      this.#line.flush();
      this.#finish(broken(board, cause, this.#lastWords));
    }
    this.#line.flush();
    if (dead(board))
      this.#finish({ reason: 'halt', detail: `halted with interrupts off at ${where(board)}` });
    return this.#input.rest(rest);
  }

  #wake(): void {
    const board = this.#board;
    if (board === undefined || this.#over !== undefined || !board.emulator.v86.running) return;
    this.#input.feed(board);
    board.emulator.v86.next_tick(0);
  }

  #finish(end: End): void {
    if (this.#over !== undefined) return;
    this.#over = end;
    this.#line.close();
    this.#released = this.#board?.emulator.destroy() ?? this.#released;
    this.#end({ ...end });
  }

  /** Ends the guest from within one of its instructions. */
  #stopShort(end: End): void {
    if (this.#board === undefined) return;
    new Uint8Array(this.#board.exports.memory.buffer)[IN_HLT] = 1;
    this.#finish(end);
  }

  /** One operation after the other, and none on a machine that has ended. */
  #inTurn<T>(operation: (board: Board) => Promise<T>): Promise<T> {
    const result = this.#last.then(() => operation(this.#running()));
    this.#last = result.catch(() => {});
    return result;
  }

  #running(): Board {
    if (this.#over !== undefined)
      throw new MachineError(`the machine has ended: ${this.#over.reason}`, { code: 'ended' });
    return this.#board!;
  }
}

/** Halted with interrupts off: nothing can wake it any more. */
function dead({ exports }: Board): boolean {
  const view = new DataView(exports.memory.buffer);
  return view.getUint8(IN_HLT) !== 0 && (view.getInt32(FLAGS, true) & INTERRUPT_FLAG) === 0;
}

function where({ exports }: Board): string {
  return hex(new DataView(exports.memory.buffer).getUint32(INSTRUCTION_POINTER, true));
}

/** v86 does not model the triple fault: an exception that cannot be delivered ends in a panic of its module, or in deep recursion. */
function broken(board: Board, cause: unknown, panic: string): End {
  const undeliverable = /#(GP|TS|NP|SS|PF|DF) handler|CS selector|invalid ss|null ss/.test(panic);
  if (undeliverable || (cause instanceof RangeError && /call stack/.test(cause.message))) {
    return { reason: 'shutdown', detail: `an exception that could not be delivered, at ${where(board)}` };
  }
  const said = panic === '' ? '' : ` (${panic.replace(/\s+/g, ' ').slice(0, 200)})`;
  const message = cause instanceof Error ? cause.message : String(cause);
  return { reason: 'failed', detail: `${message}${said}, at ${where(board)}`, cause };
}
