/** Cut-offs of the continuous health tests: NIST SP 800-90B, section 4.4. */

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
