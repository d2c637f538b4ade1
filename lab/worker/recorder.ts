/** Watches one machine's layer: the guest's accesses, as columns that travel in batches, and the random values that it reads. */
import type { Layer } from 'commonhv';
import { counter, type Tally, type TraceEvent, trace } from 'commonhv/trace';
import { CPUID, type Events, FAULTED, RDMSR, WRMSR } from '../model/protocol.ts';

/** Events a batch: a guest that asks without a pause fills one in some milliseconds. */
const BATCH = 8192;

/** The accesses since the last `take`, each as one row of columns. */
export class Recorder {
  /** The layer, watched. */
  readonly layer: Layer;
  readonly tally: () => Tally;
  readonly #times = new Float64Array(BATCH);
  readonly #ops = new Uint8Array(BATCH);
  readonly #numbers = new Uint32Array(BATCH);
  readonly #subleaves = new Uint32Array(BATCH);
  readonly #values = new BigUint64Array(BATCH);
  readonly #start = performance.now();
  readonly #full: () => void;
  #count = 0;
  #read = 0;

  /** `full` is called when a batch is full, and has to take it. */
  constructor(layer: Layer, rngMsr: number | undefined, full: () => void) {
    const counts = counter();
    this.#full = full;
    this.tally = counts.tally;
    this.layer = (host) => {
      const own = layer(host);
      // A trace holds no value. The lab shows them on purpose: this guest has no secrets.
      const seen = {
        ...own,
        rdmsr: (index: number) => {
          const value = own.rdmsr(index);
          if (index === rngMsr && typeof value === 'bigint') this.#values[this.#read++] = value;
          return value;
        },
      };
      return trace((event) => {
        if (event.kind === 'restored' || event.kind === 'reset') return;
        counts.count(event);
        this.#add(event);
      })(seen);
    };
  }

  /** Empties the batch. The columns are copies, because they leave this thread. */
  take(): { events: Events | undefined; values: BigUint64Array<ArrayBuffer> | undefined } {
    const count = this.#count;
    const events = {
      times: this.#times.slice(0, count),
      ops: this.#ops.slice(0, count),
      numbers: this.#numbers.slice(0, count),
      subleaves: this.#subleaves.slice(0, count),
    };
    const values = this.#read === 0 ? undefined : this.#values.slice(0, this.#read);
    this.#count = 0;
    this.#read = 0;
    return { events: count === 0 ? undefined : events, values };
  }

  #add(event: TraceEvent & { kind: 'cpuid' | 'rdmsr' | 'wrmsr' }): void {
    const at = this.#count;
    this.#times[at] = performance.now() - this.#start;
    if (event.kind === 'cpuid') {
      this.#ops[at] = CPUID;
      this.#numbers[at] = event.leaf;
      this.#subleaves[at] = event.subleaf;
    } else {
      this.#ops[at] = (event.kind === 'rdmsr' ? RDMSR : WRMSR) | (event.fault === undefined ? 0 : FAULTED);
      this.#numbers[at] = event.index;
      this.#subleaves[at] = 0;
    }
    if (++this.#count === BATCH) this.#full();
  }
}
