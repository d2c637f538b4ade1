/**
 * Continuous health tests of a source's draws, before any of it is served: NIST SP 800-90B, section 4.4.
 *
 * Two of them are the standard's, over samples of one byte that are claimed to hold 8 bits of entropy: the repetition
 * count test and the adaptive proportion test in windows of 512. Bytes alone would miss a source that hands out good-looking
 * values again and again, so two look at values of 64 bits: the repetition count test once more, with its cut-off
 * of 2 (no value equals the one before), and a search for cycles, which 4.4 allows beside the others.
 *
 * They catch a source that breaks. They cannot tell a good source from a bad one that takes care: the output of any
 * cipher under a known key passes.
 */

/**
 * The test that failed: of bytes, 4.4.1 "Repetition Count Test" and 4.4.2 "Adaptive Proportion Test" of NIST SP 800-90B; of
 * 64-bit values, the former and a search for cycles.
 */
export type HealthTest =
  | 'repetition of bytes'
  | 'proportion of bytes'
  | 'repetition of values'
  | 'cycle of values';

/** The tests of one stream, with their state. */
export interface Health {
  /** Looks at the next bytes, a multiple of 8; the name of the test that fails, if one does. Keeps no reference. */
  check(bytes: Uint8Array): HealthTest | undefined;
}

/** "Window size W": 512 for samples that are not binary (4.4.2). */
const WINDOW = 512;

/** Bits of entropy claimed for a byte: all, since values are served as they come. */
const ENTROPY = 8;

/** Alpha, the false-alarm rate, is 2 to the power of minus this; the standard recommends 20 to 40. */
export const FALSE_ALARM = 40;

/** NIST SP 800-90B, 4.4.1: C = 1 + ceil(-log2(alpha) / H), with alpha = 2^-`falseAlarm` and H = `entropy` bits a sample. */
export function repetitionCutoff(entropy: number, falseAlarm: number): number {
  return 1 + Math.ceil(falseAlarm / entropy);
}

/**
 * NIST SP 800-90B, 4.4.2: C = 1 + CRITBINOM(W, 2^-H, 1 - alpha): one more than the least count that W samples exceed less often than
 * alpha. As the first sample counts itself, a window of W alarms with P(X >= C - 1), X binomial over W - 1: at 2^-40, where
 * C is 19, once in 2^37.6 windows.
 */
export function proportionCutoff(window: number, entropy: number, falseAlarm: number): number {
  const p = 2 ** -entropy;
  const probability = [(1 - p) ** window];
  for (let k = 0; k < window; k++) {
    probability.push((probability[k]! * ((window - k) / (k + 1)) * p) / (1 - p));
  }
  // Summed from the small end, so that the tail, some 2^-40, is not lost in rounding.
  let above = 0;
  let k = window;
  while (k > 0 && above + probability[k]! <= 2 ** -falseAlarm) above += probability[k--]!;
  return 1 + k;
}

/** One stream's tests. Alpha, the false-alarm rate, is 2^-`falseAlarm`: 40 by default, and 20 to 40 is recommended. */
export function health(falseAlarm = FALSE_ALARM): Health {
  const bytesTest = byteTests(
    repetitionCutoff(ENTROPY, falseAlarm),
    proportionCutoff(WINDOW, ENTROPY, falseAlarm),
  );
  const wordsTest = wordTests();
  return { check: (bytes) => bytesTest(bytes) ?? wordsTest(bytes) };
}

// In both, the state is kept in locals while a buffer is gone through: a third of the time of closure variables.
function byteTests(repetition: number, proportion: number): Health['check'] {
  const kept = { last: -1, run: 1, first: 0, count: 0, left: 0 };
  return (bytes) => {
    let { last, run, first, count, left } = kept; // first, count, left: the window's sample, how often, samples to come
    for (let i = 0; i < bytes.length; i++) {
      const sample = bytes[i]!;
      if (sample === last) {
        if (++run >= repetition) return 'repetition of bytes';
      } else {
        last = sample;
        run = 1;
      }
      if (left-- === 0) {
        first = sample;
        count = 1;
        left = WINDOW - 1;
      } else if (sample === first && ++count >= proportion) return 'proportion of bytes';
    }
    Object.assign(kept, { last, run, first, count, left });
    return undefined;
  };
}

/**
 * Brent's search for a cycle, in constant memory: the remembered value moves on to the current place after 1, 2, 4, 8 and so
 * on values, so a cycle of n values is met within about 3 n. Remembered is the difference of two consecutive values and never an
 * older value that was served; so a counter shows too. A chance hit: 2^-64 a value, for each of the two tests.
 */
function wordTests(): Health['check'] {
  const kept = { low: 0, high: 0, seen: false, savedLow: 0, savedHigh: 0, power: 1, steps: 0 };
  return (bytes) => {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    let { low, high, seen, savedLow, savedHigh, power, steps } = kept;
    for (let at = 0; at + 8 <= bytes.length; at += 8) {
      const differenceLow = low ^ view.getInt32(at, true);
      const differenceHigh = high ^ view.getInt32(at + 4, true);
      low ^= differenceLow;
      high ^= differenceHigh;
      if (!seen) {
        seen = true;
        continue;
      }
      if ((differenceLow | differenceHigh) === 0) return 'repetition of values';
      if (differenceLow === savedLow && differenceHigh === savedHigh) return 'cycle of values';
      if (++steps === power) {
        savedLow = differenceLow;
        savedHigh = differenceHigh;
        power *= 2;
        steps = 0;
      }
    }
    Object.assign(kept, { low, high, seen, savedLow, savedHigh, power, steps });
    return undefined;
  };
}
