/**
 * The generation of the machine in which this process runs, for a hypervisor in it: its read-ahead and its guests' generations are
 * those of every copy until it looks. Reached by the package import `#host-generation`; pages have no such view.
 */
import { currentView, type Look, type View } from './view.ts';

/** Milliseconds for which a changed generation waits for the reseed of a kernel that was copied: values from before it can be in other copies too. */
const WAIT_MS = 50;
const STEP_MS = 1;

/** Another value after each restore of this machine; `undefined` where neither driver nor agent is there. */
export function hostGeneration(): (() => bigint) | undefined {
  const view = currentView();
  return view && followed(view);
}

/**
 * The count of changes that a view showed: of the machine's generation, and of the kernel's reseed for it. A reseed that comes after
 * the bounded wait counts once more, as everything that was drawn before it is discarded then.
 */
export function followed(view: View): () => bigint {
  let last: Look | undefined;
  let count = 0n;
  return () => {
    const seen = view.look();
    if (last !== undefined && isSame(seen, last)) return count;
    last = seen.reseeded ? seen : reseeded(view);
    return ++count;
  };
}

const isSame = (one: Look, other: Look): boolean =>
  one.generation === other.generation && one.reseeded === other.reseeded;

/** Asks the kernel to reseed, and waits; the last look. */
function reseeded(view: View): Look {
  const sleeper = new Int32Array(new SharedArrayBuffer(4));
  const until = performance.now() + WAIT_MS;
  view.ask?.();
  for (;;) {
    const seen = view.look();
    if (seen.reseeded || performance.now() > until) return seen;
    Atomics.wait(sleeper, 0, 0, STEP_MS);
  }
}
