/** Watches one machine's layer: the guest's accesses, as columns that travel in batches, and the random values that it reads. */
import type { Layer } from 'commonhv';
import { counter, type Tally, type TraceEvent, trace } from 'commonhv/trace';
import { CPUID, type Events, FAULTED, RDMSR, WRMSR } from './protocol.ts';

/** Events a batch: a guest that asks without a pause fills one in some milliseconds. */
const BATCH = 8192;

export interface Tap {
  /** The layer, watched. */
  readonly layer: Layer;
  /** The events since the last call; empties the batch. */
  take(): { events: Events | undefined; words: BigUint64Array<ArrayBuffer> | undefined };
  tally(): Tally;
}

/** `full` is called when a batch is full, and has to take it. */
export function tap(layer: Layer, rngMsr: number | undefined, full: () => void): Tap {
  const times = new Float64Array(BATCH);
  const ops = new Uint8Array(BATCH);
  const numbers = new Uint32Array(BATCH);
  const subleaves = new Uint32Array(BATCH);
  const words = new BigUint64Array(BATCH);
  let count = 0;
  let read = 0;
  const start = performance.now();
  const counts = counter();
  const onEvent = (event: TraceEvent) => {
    if (event.kind === 'restored' || event.kind === 'reset') return;
    counts.count(event);
    times[count] = performance.now() - start;
    if (event.kind === 'cpuid') {
      ops[count] = CPUID;
      numbers[count] = event.leaf;
      subleaves[count] = event.subleaf;
    } else {
      ops[count] = (event.kind === 'rdmsr' ? RDMSR : WRMSR) | (event.fault === undefined ? 0 : FAULTED);
      numbers[count] = event.index;
      subleaves[count] = 0;
    }
    if (++count === BATCH) full();
  };
  return {
    layer: (host) => {
      const own = layer(host);
      // A trace never holds a word. The lab shows them on purpose: nobody keeps a secret in this guest.
      const seen = {
        ...own,
        rdmsr(index: number) {
          const value = own.rdmsr(index);
          if (index === rngMsr && typeof value === 'bigint') words[read++] = value;
          return value;
        },
      };
      return trace(onEvent)(seen);
    },
    take() {
      const events = count === 0 ? undefined : columns();
      const some = read === 0 ? undefined : words.slice(0, read);
      count = 0;
      read = 0;
      return { events, words: some };
    },
    tally: counts.tally,
  };

  /** Copies, because the columns leave this thread. */
  function columns(): Events {
    return {
      times: times.slice(0, count),
      ops: ops.slice(0, count),
      numbers: numbers.slice(0, count),
      subleaves: subleaves.slice(0, count),
    };
  }
}
