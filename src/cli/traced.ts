/** The layer of `trace`: CommonHV, and above it a record of the accesses. An engine builds it on its own thread where it has one. */
import type { Layer } from '../cpu.ts';
import { type Config, fromConfig, type LayerEvent } from '../hypervisor/index.ts';
import { type TraceEvent, trace } from '../trace.ts';

/** Plain data, for the message to another thread. */
export interface TracedOptions {
  readonly config: Config;
  /** Whether CPUIDs are recorded: an engine that asks for each leaf before the guest starts would be recorded, not the guest. */
  readonly cpuid: boolean;
  /** One 32-bit count of the events that the receiver has taken; absent where it takes them at once. */
  readonly taken?: SharedArrayBuffer | undefined;
}

/** Accesses of the guest, and reports of CommonHV */
export type TracedEvent = TraceEvent | LayerEvent;

/** Events on their way to the receiver; a guest that makes more waits for it. */
const MAX_PENDING = 16_384;
/** The longest wait, in milliseconds: a receiver that stands still does not stop the guest for good. */
const TIMEOUT_MS = 1000;

export function traced(
  { config, cpuid, taken }: TracedOptions,
  onEvent: (event: TracedEvent) => void,
): Layer {
  const counted = taken && new Int32Array(taken);
  let sent = 0;
  const send = (event: TracedEvent): void => {
    onEvent(event);
    sent += 1;
    for (const late = performance.now() + TIMEOUT_MS; counted !== undefined && performance.now() < late; ) {
      const seen = Atomics.load(counted, 0);
      if (((sent - seen) | 0) <= MAX_PENDING) return;
      Atomics.wait(counted, 0, seen, TIMEOUT_MS);
    }
  };
  const record = (event: TraceEvent): void => {
    if (cpuid || event.kind !== 'cpuid') send(event);
  };
  return (host) => trace(record)(fromConfig(config, send)(host));
}
