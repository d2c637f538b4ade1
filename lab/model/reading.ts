/** One event of the timeline in words, and which of them a reader points at. */

import { FAULTED } from './protocol.ts';
import { firstAfter, type Store } from './store.ts';
import { callName, leafName } from './text.ts';

const KINDS = ['CPUID', 'RDMSR', 'WRMSR'] as const;
/** Events looked at for one that suits; a million may fall on one dot. */
const MAX_EXAMINED = 10_000;

/** `event 7 of 90, at 5.125 ms: CPUID 4F000001H.1`. */
export function eventText(store: Store, at: number): string {
  const op = store.ops[at]!;
  const kind = KINDS[op & ~FAULTED]!;
  const number = store.numbers[at]!;
  const what = kind === 'CPUID' ? callName(number, store.subleaves[at]!) : leafName(number);
  const place = `event ${(at + 1).toLocaleString('en')} of ${store.length.toLocaleString('en')}`;
  return `${place}, at ${+store.times[at]!.toFixed(3)} ms: ${kind} ${what}${op & FAULTED ? ', a fault' : ''}`;
}

/** The event nearest to a time: of those no further away than `within`, the nearest that suits, if any does. */
export function nearest(
  store: Store,
  time: number,
  within: number,
  suits: (at: number) => boolean,
): number | undefined {
  const { times, length } = store;
  let right = firstAfter(times, length, time);
  let left = right - 1;
  let first: number | undefined;
  for (let looked = 0; looked < MAX_EXAMINED && (left >= 0 || right < length); looked++) {
    const toLeft = left < 0 ? Number.POSITIVE_INFINITY : time - times[left]!;
    const toRight = right === length ? Number.POSITIVE_INFINITY : times[right]! - time;
    const at = toLeft <= toRight ? left-- : right++;
    first ??= at;
    if (Math.min(toLeft, toRight) > within) break;
    if (suits(at)) return at;
  }
  return first;
}
