/**
 * One question at a time from a thread that waits to a thread that answers: how an exit of a vCPU reaches the machine's
 * home, where the layer and the devices are. All in eight words of shared memory.
 */
import type { Fault } from '../../cpu.ts';

/** What is asked, answered where the machine has its home. */
export interface Answers {
  /** Reads a port; 1, 2 or 4 bytes. */
  in(port: number, size: number): number;
  out(port: number, size: number, value: number): void;
  rdmsr(index: number): bigint | Fault;
  wrmsr(index: number, value: bigint): Fault | undefined;
}

const STATE = 0;
const KIND = 1;
const SUBJECT = 2; // port or index
const SIZE = 3;
const LOW = 4;
const HIGH = 5;
const FAULT = 6;
const WORDS = 8;

const FREE = 0;
const ASKED = 1;
const ANSWERED = 2;

const KINDS = { in: 1, out: 2, rdmsr: 3, wrmsr: 4 } as const;

export function mailbox(): SharedArrayBuffer {
  return new SharedArrayBuffer(WORDS * 4);
}

/** Thrown out of a wait when the machine is over: nobody answers any more. */
export const OVER = Symbol('the machine is over');

/**
 * The asking end. `ring` tells the other thread that there is a question; `over` is looked at every 50 ms while it has
 * not answered, and ends the wait by throwing `OVER`.
 */
export function asking(box: SharedArrayBuffer, ring: () => void, over: () => boolean): Answers {
  const words = new Int32Array(box);
  function ask(kind: number, implementation: number, size: number, low: number, high: number): void {
    words[KIND] = kind;
    words[SUBJECT] = implementation;
    words[SIZE] = size;
    words[LOW] = low;
    words[HIGH] = high;
    Atomics.store(words, STATE, ASKED);
    ring();
    while (Atomics.load(words, STATE) !== ANSWERED) {
      if (over()) throw OVER;
      Atomics.wait(words, STATE, ASKED, 50);
    }
    Atomics.store(words, STATE, FREE);
  }
  return {
    in(port, size) {
      ask(KINDS.in, port, size, 0, 0);
      return words[LOW]! >>> 0;
    },
    out: (port, size, value) => ask(KINDS.out, port, size, value, 0),
    rdmsr(index) {
      ask(KINDS.rdmsr, index, 0, 0, 0);
      return words[FAULT] !== 0 ? '#GP' : (BigInt(words[HIGH]! >>> 0) << 32n) | BigInt(words[LOW]! >>> 0);
    },
    wrmsr(index, value) {
      ask(KINDS.wrmsr, index, 0, Number(value & 0xffff_ffffn), Number(value >> 32n));
      return words[FAULT] !== 0 ? '#GP' : undefined;
    },
  };
}

/** The answering end: answers what is asked in the box now, if anything is. What an answer throws comes through. */
export function answering(box: SharedArrayBuffer, answers: Answers): () => void {
  const words = new Int32Array(box);
  return () => {
    if (Atomics.load(words, STATE) !== ASKED) return;
    const implementation = words[SUBJECT]! >>> 0;
    const low = words[LOW]! >>> 0;
    let answer: bigint | number | Fault | undefined;
    if (words[KIND] === KINDS.in) answer = answers.in(implementation, words[SIZE]!);
    else if (words[KIND] === KINDS.out) answers.out(implementation, words[SIZE]!, low);
    else if (words[KIND] === KINDS.rdmsr) answer = answers.rdmsr(implementation);
    else answer = answers.wrmsr(implementation, (BigInt(words[HIGH]! >>> 0) << 32n) | BigInt(low));
    words[FAULT] = typeof answer === 'string' ? 1 : 0;
    if (typeof answer === 'number') words[LOW] = answer;
    if (typeof answer === 'bigint') {
      words[LOW] = Number(answer & 0xffff_ffffn);
      words[HIGH] = Number((answer >> 32n) & 0xffff_ffffn);
    }
    Atomics.store(words, STATE, ANSWERED);
    Atomics.notify(words, STATE);
  };
}
