/** The start-up test's part beyond the continuous tests: what guests refuse too, by the same definition. Nothing of its draw is served. */
import { flawOf, isLinear } from '../spec/values.ts';
import { HEAD } from './health.ts';

/** Values that are compared: more than the 129 columns of two consecutive ones. */
const VALUES = 160;

/**
 * A pattern of the values in a draw of the start-up test: lanes of bits that never change, step or follow from each other, or bits that
 * depend on each other linearly. By chance less than once in 2^50 draws.
 */
export function patternOf(draw: Uint8Array<ArrayBuffer>): string | undefined {
  const values = [...new BigUint64Array(draw.buffer, draw.byteOffset + HEAD, VALUES)];
  return flawOf(values)?.text ?? (isLinear(values) ? 'bits that depend on each other' : undefined);
}
