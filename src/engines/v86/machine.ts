/** A running v86 machine: its console, how it ends, pausing, saving and restoring. */
import { type End, hex, type Layer, MachineError, type SavableMachine } from '../../cpu.ts';
import { type Board, powerOn, type Setup } from './board.ts';
import { makeLine } from './console.ts';
import { FLAGS, IN_HLT, INSTRUCTION_COUNTER, INSTRUCTION_POINTER } from './hook.ts';
import { readState, restoreState, saveState } from './state.ts';

/** A word with bit 13 set, written here, turns the machine off: QEMU's ACPI PM1a control register, which v86 lacks. */
const POWER_PORT = 0x604;
const SLEEP_ENABLE = 1 << 13;

/** PCI's address register, of 32 bits (PCI Local Bus Specification 3.0, 3.2.2.3.2). */
const PCI_ADDRESS = 0xcf8;

const INTERRUPT_FLAG = 1 << 9;
const REQUEST_TO_SEND = 1 << 1;
const LOOPBACK = 1 << 4;
const RECEIVE_INTERRUPT = 1 << 0;
const DATA_READY = 1;
/** So many looks at an empty line in a row: the guest has nothing else to do. */
const IDLE_POLLS = 64;
/** How long such a guest rests, in ms, unless input comes. */
const IDLE = 4;
/** More than the instructions that v86 runs (LOOP_COUNTER in its cpu.rs) before it looks at the clock. */
const ENOUGH = 200_000;
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
  let board: Board | undefined;
  let over: End | undefined;
  let released: Promise<void> = Promise.resolve();
  let lastWords = '';
  let ended: (end: End) => void;
  const promise = new Promise<End>((resolve) => {
    ended = resolve;
  });
  const line = makeLine(() => wake());

  const wake = () => {
    if (board === undefined || over !== undefined || !board.emulator.v86.running) return;
    feed(board);
    board.emulator.v86.next_tick(0);
  };

  const finish = (end: End) => {
    if (over !== undefined) return;
    over = end;
    line.close();
    released = board?.emulator.destroy() ?? released;
    ended({ ...end });
  };

  /** Characters for the guest, as many as the serial port holds, where it listens and has not asked for a pause. */
  let ready = true;
  let asked = false;
  const feed = ({ emulator }: Board): boolean => {
    const { modem_control, ier, input } = emulator.v86.cpu.devices.uart0;
    asked ||= (modem_control & REQUEST_TO_SEND) !== 0;
    // A guest that never touches the line "request to send" has no use for it; one that drops it wants nothing now.
    const wanted = !asked || (modem_control & REQUEST_TO_SEND) !== 0;
    const listens = !setup.byInterrupt || (ier & RECEIVE_INTERRUPT) !== 0;
    ready = wanted && listens && (modem_control & LOOPBACK) === 0;
    if (!ready || !line.waiting()) return false;
    emulator.serial_send_bytes(0, line.take(input.length));
    return true;
  };

  /**
   * A guest that waits for input by looking again and again would run its slice to the end before the input could come.
   * v86 ends a slice early for a processor that halts: so this one seems to, until the slice is over.
   */
  let polls = 0;
  let resting = false;
  const polled = (status: number) => {
    if ((status & DATA_READY) !== 0) polls = 0;
    else if (++polls >= IDLE_POLLS && board !== undefined) {
      if (line.waiting() && feed(board)) {
        polls = 0;
        return;
      }
      const { buffer } = board.exports.memory;
      const counter = new Uint32Array(buffer, INSTRUCTION_COUNTER, 1);
      counter[0] = counter[0]! + ENOUGH; // compiled code looks at its instructions alone
      new Uint8Array(buffer)[IN_HLT] = 1;
      resting = true;
    }
  };

  const slice = (run: () => number): number => {
    if (board === undefined || over !== undefined) return 0;
    if (line.full()) return TIMEOUT_MS;
    feed(board);
    let rest = 0;
    try {
      board.cpu.poll?.();
      rest = run();
      if (resting && over === undefined) new Uint8Array(board.exports.memory.buffer)[IN_HLT] = 0;
      resting = false;
    } catch (cause) {
      line.flush();
      finish(broken(board, cause, lastWords));
    }
    line.flush();
    if (dead(board)) finish({ reason: 'halt', detail: `halted with interrupts off at ${where(board)}` });
    if (ready && line.waiting()) return 0;
    return polls >= IDLE_POLLS ? IDLE : rest;
  };

  /** Ends the guest from within one of its instructions. */
  const stopShort = (end: End) => {
    if (board === undefined) return;
    new Uint8Array(board.exports.memory.buffer)[IN_HLT] = 1;
    finish(end);
  };

  board = await powerOn(module, layer, setup, resumed, {
    slice,
    polled,
    reset: () => stopShort({ reason: 'quit', detail: 'the guest reset its machine' }),
    panic: (text) => {
      lastWords = text;
    },
  });
  const { emulator } = board;
  emulator.add_listener('serial0-output-byte', (byte) => {
    polls = 0;
    line.sent(byte);
  });
  const { io, devices } = emulator.v86.cpu;
  const powerControl = (value: number): void => {
    if ((value & SLEEP_ENABLE) !== 0) stopShort({ reason: 'quit', detail: 'the guest powered off' });
  };
  io.register_write(POWER_PORT, {}, undefined, powerControl, powerControl);
  // v86 splits this access into bytes, and the second one then counts as a write to the reset control at CF9H.
  io.register_write(PCI_ADDRESS, devices.pci, undefined, undefined, (value) => {
    for (let i = 0; i < 4; i++) devices.pci.pci_addr[i] = (value >>> (8 * i)) & (i === 0 ? 0xfc : 0xff);
  });
  try {
    await prepare(board);
  } catch (cause) {
    finish({ reason: 'failed', cause });
    throw cause;
  }
  await emulator.run();

  /** One operation after the other, and none on a machine that has ended. */
  let last: Promise<unknown> = Promise.resolve();
  const inTurn = <T>(operation: () => Promise<T>): Promise<T> => {
    const result = last.then(() => {
      if (over !== undefined)
        throw new MachineError(`the machine has ended: ${over.reason}`, { code: 'ended' });
      return operation();
    });
    last = result.catch(() => {});
    return result;
  };

  return {
    console: line.console,
    ended: promise,
    async close() {
      finish({ reason: 'closed' });
      await released;
    },
    pause: () => inTurn(() => emulator.stop()),
    unpause: () => inTurn(() => emulator.run()),
    save: () => inTurn(() => saveState(board, setup)),
    restore: (bytes) =>
      inTurn(async () => {
        const saved = readState(bytes);
        const { memory, videoMemory } = saved.setup;
        if (memory !== setup.memory || videoMemory !== setup.videoMemory) {
          throw new TypeError(
            `state: of a machine with ${memory} bytes of memory; this one has ${setup.memory}`,
          );
        }
        try {
          await restoreState(board, saved);
        } catch (cause) {
          // Half of one machine, half of another: nothing to go on with.
          finish({ reason: 'failed', detail: (cause as Error).message, cause });
          throw cause;
        }
        wake();
      }),
  };
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
