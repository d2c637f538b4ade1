/**
 * Continuous health tests of the draws from a source, before any value of them is served: NIST SP 800-90B, section 4.4.
 *
 * A draw is a head of 8 bytes, which is tested and never served, and the values after it. Two tests are the standard's, over
 * samples of one byte that are claimed to hold 8 bits of entropy: the repetition count test, and the adaptive proportion test
 * in windows of 512. The others look at values of 64 bits, which 4.4 allows beside them: equal consecutive values, cycles, equal steps
 * of a 32-bit half, and bits that never change. Across draws the same is asked of the heads alone, so that nothing that is
 * served, nor a difference of such values, stays in memory.
 *
 * They catch a source that breaks. They cannot tell a good source from a bad one that takes care: the output of any
 * cipher under a known key passes.
 */
import { FALSE_ALARM, proportionCutoff, repetitionCutoff } from './cutoffs.ts';

export { FALSE_ALARM, proportionCutoff, repetitionCutoff } from './cutoffs.ts';

/**
 * The test that failed: of bytes, 4.4.1 "Repetition Count Test" and 4.4.2 "Adaptive Proportion Test" of NIST SP 800-90B; of
 * 64-bit values, the former, a search for cycles, equal steps and bits that never change; of draws, by their heads.
 */
export type HealthTest =
  | 'repetition of bytes'
  | 'proportion of bytes'
  | 'repetition of values'
  | 'cycle of values'
  | 'constant step'
  | 'stuck bits'
  | 'repetition of draws'
  | 'cycle of draws'
  | 'zeros at the end of draws';

/** The tests of one source, with the state that they keep. */
export interface Health {
  /** Tests the next draw, 16 bytes or more, a multiple of 8; the name of the test that fails, if one does. Keeps no reference. */
  check(draw: Uint8Array): HealthTest | undefined;
}

/** Bytes of a draw that are tested and not served. */
export const HEAD = 8;

/** "Window size W": 512 for samples that are not binary (4.4.2). */
const WINDOW = 512;

/** Bits of entropy claimed for a byte: all, since values are served as they come. */
const ENTROPY = 8;

/** Values after which a bit that never changed is an alarm: by chance 128 bits' states in 2^64. */
const STUCK = 64;

/** One source's tests. Alpha, the false-alarm rate, is 2^-`falseAlarm`: 40 by default, and 20 to 40 is recommended. */
export function health(falseAlarm = FALSE_ALARM): Health {
  const bytes = byteTests(
    repetitionCutoff(ENTROPY, falseAlarm),
    proportionCutoff(WINDOW, ENTROPY, falseAlarm),
  );
  const heads = headTests(repetitionCutoff(ENTROPY, falseAlarm));
  return {
    check(draw) {
      const aligned = draw.byteOffset % 4 === 0 ? draw : draw.slice();
      const words = new Int32Array(aligned.buffer, aligned.byteOffset, aligned.length >> 2);
      const found = valueTests(words);
      const equalBytes = found !== undefined; // a draw that fails otherwise may have any
      return (
        bytes(draw, words, equalBytes) ?? (found === EQUAL_BYTES ? undefined : found) ?? heads(draw, words)
      );
    },
  };
}

/** The standard's two tests. A window goes on over draws that are shorter; its sample is then a byte of a head. */
function byteTests(
  repetition: number,
  proportion: number,
): (draw: Uint8Array, words: Int32Array, equalBytes: boolean) => HealthTest | undefined {
  let sample = 0;
  let count = 0;
  let left = 0;
  return (draw, words, equalBytes) => {
    // A run of 6 or more has three equal bytes in one aligned word; shorter runs are an alarm only at rates for tests.
    if ((repetition < 6 || equalBytes) && repeats(draw, repetition)) return 'repetition of bytes';
    for (let at = 0; at + WINDOW <= draw.length; at += WINDOW) {
      if (occurrences(words, draw[at]!, at >> 2, (at + WINDOW) >> 2) >= proportion)
        return 'proportion of bytes';
    }
    if (draw.length >= WINDOW) return undefined;
    if (left <= 0) {
      sample = draw[0]!;
      count = 0;
      left = WINDOW;
    }
    count += occurrences(words, sample, 0, Math.min(left, draw.length) >> 2);
    left -= draw.length;
    return count >= proportion ? 'proportion of bytes' : undefined;
  };
}

/** Whether the word has three equal bytes in a row: by chance once in 32,768 words. */
function hasEqualBytes(word: number): boolean {
  const pairs = word ^ (word >>> 8);
  return (pairs & 0xffff) === 0 || (pairs & 0xff_ff00) === 0;
}

function repeats(bytes: Uint8Array, cutoff: number): boolean {
  let last = -1;
  let run = 0;
  for (const byte of bytes) {
    run = byte === last ? run + 1 : 1;
    last = byte;
    if (run >= cutoff) return true;
  }
  return false;
}

/** How often a byte comes. A word is looked into only where the usual test for a zero byte says that it is there. */
function occurrences(words: Int32Array, sample: number, from: number, to: number): number {
  const wanted = Math.imul(sample, 0x0101_0101);
  let count = 0;
  for (let i = from; i < to; i++) {
    const word = words[i]! ^ wanted;
    if (((word - 0x0101_0101) & ~word & 0x8080_8080) === 0) continue;
    for (let shift = 0; shift < 32; shift += 8) if (((word >>> shift) & 0xff) === 0) count++;
  }
  return count;
}

/** No failure: three equal bytes in a row are in a word, so the test of bytes has to look. */
const EQUAL_BYTES = 'equal bytes';

/**
 * Within one draw: equal consecutive values; Brent's search for a cycle, which remembers the difference of two consecutive values and moves on
 * after 1, 2, 4, 8 and so on values, so that a cycle of n values is met within about 3 n, and a counter too; a 32-bit half that goes
 * on by equal steps; bits that never change. By chance: 2^-64 a value, for each test.
 */
function valueTests(words: Int32Array): HealthTest | typeof EQUAL_BYTES | undefined {
  let [low, high] = [words[0]!, words[1]!];
  let [stepLow, stepHigh] = [0, 0];
  let [savedLow, savedHigh, power, next] = [0, 0, 2, 2];
  let [changedLow, changedHigh] = [0, 0];
  let equalBytes = hasEqualBytes(low) || hasEqualBytes(high);
  for (let i = 2; i + 1 < words.length; i += 2) {
    const nextLow = words[i]!;
    const nextHigh = words[i + 1]!;
    const lowStep = (nextLow - low) | 0;
    const highStep = (nextHigh - high) | 0;
    if (lowStep === stepLow && isThirdStep(words, i)) return 'constant step';
    if (highStep === stepHigh && isThirdStep(words, i + 1)) return 'constant step';
    if ((lowStep | highStep) === 0) return 'repetition of values';
    if (lowStep === savedLow && highStep === savedHigh) return 'cycle of values';
    stepLow = lowStep;
    stepHigh = highStep;
    if (i === next) {
      savedLow = lowStep;
      savedHigh = highStep;
      power *= 2;
      next += power;
    }
    changedLow |= low ^ nextLow;
    changedHigh |= high ^ nextHigh;
    // The middle pair of bytes is equal wherever three are.
    if (((nextLow ^ (nextLow >>> 8)) & 0xff00) === 0) equalBytes ||= hasEqualBytes(nextLow);
    if (((nextHigh ^ (nextHigh >>> 8)) & 0xff00) === 0) equalBytes ||= hasEqualBytes(nextHigh);
    low = nextLow;
    high = nextHigh;
  }
  if (words.length >= 2 * STUCK && (changedLow & changedHigh) !== -1) return 'stuck bits';
  return equalBytes ? EQUAL_BYTES : undefined;
}

/** Whether the last three steps of a half to its word at `i` are equal: by chance 2^-64. */
function isThirdStep(words: Int32Array, i: number): boolean {
  if (i < 6) return false;
  const step = (words[i]! - words[i - 2]!) | 0;
  return step === ((words[i - 2]! - words[i - 4]!) | 0) && step === ((words[i - 4]! - words[i - 6]!) | 0);
}

/** Across draws, by their heads, which nobody has been served; and whether so many draws in a row end in a byte 0, as short ones do. */
function headTests(zerosCutoff: number): (draw: Uint8Array, words: Int32Array) => HealthTest | undefined {
  const kept = {
    low: 0,
    high: 0,
    seen: 0,
    savedLow: 0,
    savedHigh: 0,
    power: 1,
    steps: 0,
    changed: 0,
    changedHigh: 0,
    zeros: 0,
  };
  return (draw, words) => {
    const [low, high] = [words[0]!, words[1]!];
    kept.zeros = draw.at(-1) === 0 ? kept.zeros + 1 : 0;
    if (kept.zeros >= zerosCutoff) return 'zeros at the end of draws';
    if (kept.seen++ === 0) {
      Object.assign(kept, { low, high, savedLow: low, savedHigh: high });
      return undefined;
    }
    if (low === kept.low && high === kept.high) return 'repetition of draws';
    if (low === kept.savedLow && high === kept.savedHigh) return 'cycle of draws';
    if (++kept.steps === kept.power) {
      Object.assign(kept, { savedLow: low, savedHigh: high, power: kept.power * 2, steps: 0 });
    }
    kept.changed |= low ^ kept.low;
    kept.changedHigh |= high ^ kept.high;
    kept.low = low;
    kept.high = high;
    if (kept.seen % STUCK !== 0) return undefined;
    const stuck = (kept.changed & kept.changedHigh) !== -1;
    kept.changed = 0;
    kept.changedHigh = 0;
    return stuck ? 'stuck bits' : undefined;
  };
}
