/** Waits that end: a promise with a time limit. */

/** Node and browsers take a longer delay for 1 ms. */
const MAX_DELAY = 2 ** 31 - 1;

/** A time limit in milliseconds as an option gives it; Infinity and anything longer become the longest that a timer takes. */
export function milliseconds(value: number, name: string): number {
  if (typeof value !== 'number' || !(value > 0))
    throw new RangeError(`${name}: expected milliseconds above 0, got ${String(value)}`);
  return Math.min(value, MAX_DELAY);
}

/** The promise's value, or a rejection after so many milliseconds. */
export function deadline<T>(promise: Promise<T>, given: number): Promise<T> {
  const milliseconds = Math.min(given, MAX_DELAY);
  return new Promise<T>((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`no answer within ${milliseconds} ms`)), milliseconds);
    const settle =
      <V>(done: (value: V) => void) =>
      (value: V): void => {
        clearTimeout(timer);
        done(value);
      };
    promise.then(settle(resolve), settle(reject));
  });
}

export function isPromise<T>(value: T | PromiseLike<T>): value is PromiseLike<T> {
  return typeof (value as PromiseLike<T> | undefined)?.then === 'function';
}
