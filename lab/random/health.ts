/** What can be told of words by looking at them: no test finds them good, some find them bad. */
import type { Look } from './picture.ts';

export interface Health {
  readonly name: string;
  readonly well: boolean;
  readonly detail: string;
}

/** Bits of one word that differ from the half in expectation: beyond six deviations chance does not go. */
const DEVIATIONS = 6;

export function healthOf(look: Look): readonly Health[] {
  const bits = 64 * look.total;
  const share = Math.abs(look.ones - 0.5) * 2 * Math.sqrt(bits);
  return [
    {
      name: 'repetition',
      well: look.longestRun < 2,
      detail: look.longestRun < 2 ? 'no word twice in a row' : `one word ${look.longestRun} times in a row`,
    },
    {
      name: 'difference',
      well: look.distinct === look.compared && !look.stepped,
      detail: look.stepped
        ? 'each word is one step from the last'
        : `${look.distinct} of ${look.compared} differ`,
    },
    {
      name: 'proportion',
      well: share <= DEVIATIONS,
      detail: `${(100 * look.ones).toFixed(1)} % ones`,
    },
  ];
}
