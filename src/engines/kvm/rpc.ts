/**
 * One call at a time from a thread that waits to a thread that serves: how an exit of a vCPU reaches the machine's owner
 * thread, where the layer and the devices are. A mailbox is eight words of shared memory.
 */
import type { Fault } from '../../cpu.ts';

/** Serves the exits of a vCPU. */
export interface ExitHandler {
  /** Reads a port; `size` is 1, 2 or 4 bytes. */
  in(port: number, size: number): number;
  out(port: number, size: number, value: number): void;
  rdmsr(index: number): bigint | Fault;
  wrmsr(index: number, value: bigint): Fault | undefined;
}

const STATE = 0;
const KIND = 1;
const TARGET = 2; // port or index
const SIZE = 3;
const LOW = 4;
const HIGH = 5;
const FAULT = 6;
const WORDS = 8;

const FREE = 0;
const CALLED = 1;
const DONE = 2;

const KINDS = { in: 1, out: 2, rdmsr: 3, wrmsr: 4 } as const;
/** So often a waiting caller checks whether the machine is over, in milliseconds. */
const CHECK_MS = 50;

export function mailbox(): SharedArrayBuffer {
  return new SharedArrayBuffer(WORDS * 4);
}

/** Thrown out of a wait when the machine is over. */
export class MachineOver extends Error {}

/**
 * Returns the calling end. `notify` tells the serving thread of a call; `isOver` is checked every 50 ms while there is
 * no result, and ends the wait by throwing `MachineOver`.
 */
export function caller(box: SharedArrayBuffer, notify: () => void, isOver: () => boolean): ExitHandler {
  const words = new Int32Array(box);
  function call(kind: number, target: number, size: number, low: number, high: number): void {
    words[KIND] = kind;
    words[TARGET] = target;
    words[SIZE] = size;
    words[LOW] = low;
    words[HIGH] = high;
    Atomics.store(words, STATE, CALLED);
    notify();
    while (Atomics.load(words, STATE) !== DONE) {
      if (isOver()) throw new MachineOver();
      Atomics.wait(words, STATE, CALLED, CHECK_MS);
    }
    Atomics.store(words, STATE, FREE);
  }
  return {
    in(port, size) {
      call(KINDS.in, port, size, 0, 0);
      return words[LOW]! >>> 0;
    },
    out: (port, size, value) => call(KINDS.out, port, size, value, 0),
    rdmsr(index) {
      call(KINDS.rdmsr, index, 0, 0, 0);
      return words[FAULT] !== 0 ? '#GP' : (BigInt(words[HIGH]! >>> 0) << 32n) | BigInt(words[LOW]! >>> 0);
    },
    wrmsr(index, value) {
      call(KINDS.wrmsr, index, 0, Number(value & 0xffff_ffffn), Number(value >> 32n));
      return words[FAULT] !== 0 ? '#GP' : undefined;
    },
  };
}

/** Returns the serving end: a function that serves the call in the mailbox, if there is one. It throws as the handler does. */
export function serve(box: SharedArrayBuffer, handler: ExitHandler): () => void {
  const words = new Int32Array(box);
  return () => {
    if (Atomics.load(words, STATE) !== CALLED) return;
    const target = words[TARGET]! >>> 0;
    const low = words[LOW]! >>> 0;
    let result: bigint | number | Fault | undefined;
    if (words[KIND] === KINDS.in) result = handler.in(target, words[SIZE]!);
    else if (words[KIND] === KINDS.out) handler.out(target, words[SIZE]!, low);
    else if (words[KIND] === KINDS.rdmsr) result = handler.rdmsr(target);
    else result = handler.wrmsr(target, (BigInt(words[HIGH]! >>> 0) << 32n) | BigInt(low));
    words[FAULT] = typeof result === 'string' ? 1 : 0;
    if (typeof result === 'number') words[LOW] = result;
    if (typeof result === 'bigint') {
      words[LOW] = Number(result & 0xffff_ffffn);
      words[HIGH] = Number((result >> 32n) & 0xffff_ffffn);
    }
    Atomics.store(words, STATE, DONE);
    Atomics.notify(words, STATE);
  };
}
