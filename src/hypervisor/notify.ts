/** Calls of the owner's functions: an error that one throws, now or as a rejected promise, ends the machine. */

/** One machine's calls. */
export interface Notifier {
  /** The same function, or `undefined` as it came; a promise that it returns is watched. */
  wrap<A extends unknown[]>(callback: ((...args: A) => void) | undefined): ((...args: A) => void) | undefined;
  /** Throws the error of a promise that has rejected since the last call. */
  check(): void;
}

export function notifier(): Notifier {
  let rejected: { readonly error: unknown } | undefined;
  return {
    wrap(callback) {
      if (callback === undefined) return undefined;
      return (...args) => {
        const returned: unknown = callback(...args);
        if (typeof (returned as PromiseLike<unknown> | undefined)?.then !== 'function') return;
        Promise.resolve(returned).catch((error: unknown) => {
          rejected ??= { error };
        });
      };
    },
    check() {
      if (rejected === undefined) return;
      throw rejected.error;
    },
  };
}
