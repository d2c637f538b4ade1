/** The words that a guest read or drew: the latest of them for a picture, all of them counted and watched. */
import { type ReadonlySignal, signal } from '@preact/signals';

/** Words that a picture holds: each is 64 bits, two make a row, 128 rows a square. */
export const SHOWN = 256;
/** How many words are compared with one another; beyond that a repetition says nothing new. */
const COMPARED = 4096;

/** What the words look like, at a glance. */
export interface Look {
  readonly total: number;
  /** How many of the first 4096 are different. */
  readonly distinct: number;
  readonly compared: number;
  /** How often the same word came in a row, at worst. */
  readonly longestRun: number;
  /** Ones among all bits, 0 to 1. */
  readonly ones: number;
  /** Whether each word is the same step from the one before it; needs three words. */
  readonly stepped: boolean;
}

export interface Picture {
  readonly look: ReadonlySignal<Look>;
  /** The latest `SHOWN` words, oldest first. */
  readonly words: readonly bigint[];
  /** The first `SHOWN` words, to compare two machines by. */
  readonly first: readonly bigint[];
  add(words: BigUint64Array): void;
}

export function picture(): Picture {
  const words: bigint[] = [];
  const first: bigint[] = [];
  const different = new Set<bigint>();
  let total = 0;
  let ones = 0;
  let run = 0;
  let longestRun = 0;
  let step: bigint | undefined;
  let stepped = true;
  let before: bigint | undefined;
  const look = signal<Look>({ total: 0, distinct: 0, compared: 0, longestRun: 0, ones: 0, stepped: false });
  return {
    look,
    words,
    first,
    add(came) {
      for (const word of came) {
        total++;
        ones += population(word);
        run = word === before ? run + 1 : 1;
        if (run > longestRun) longestRun = run;
        if (before !== undefined) {
          const now = BigInt.asUintN(64, word - before);
          if (step !== undefined && now !== step) stepped = false;
          step = now;
        }
        before = word;
        if (total <= COMPARED) different.add(word);
        if (total <= SHOWN) first.push(word);
      }
      words.push(...came.subarray(Math.max(0, came.length - SHOWN)));
      if (words.length > SHOWN) words.splice(0, words.length - SHOWN);
      look.value = {
        total,
        distinct: different.size,
        compared: Math.min(total, COMPARED),
        longestRun,
        ones: total === 0 ? 0 : ones / (64 * total),
        stepped: stepped && total >= 3,
      };
    },
  };
}

function population(word: bigint): number {
  return bits(Number(word & 0xffff_ffffn)) + bits(Number(word >> 32n));
}

/** The ones of 32 bits, added up in pairs, fours, eights and so on. */
function bits(value: number): number {
  let x = value - ((value >>> 1) & 0x5555_5555);
  x = (x & 0x3333_3333) + ((x >>> 2) & 0x3333_3333);
  return Math.imul((x + (x >>> 4)) & 0x0f0f_0f0f, 0x0101_0101) >>> 24;
}
