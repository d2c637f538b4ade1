/** The 0x40000000 scan, recognised: CPUIDs of 40000000H and up, in steps of 100H, one after the other. */
import { CPUID } from './protocol.ts';

export const SCAN_FIRST = 0x4000_0000;
export const SCAN_LAST = 0x4000_ff00;
const STEP = 0x100;
/** Fewer steps in a row may be anything. */
const LEAST = 8;
/** Searches kept; a guest that does nothing else is not followed further. */
const MOST = 256;

export interface Scan {
  /** Milliseconds since the machine started. */
  readonly start: number;
  end: number;
  /** How many leaves were asked, at most 256. */
  steps: number;
}

export function scanFinder(): {
  readonly found: readonly Scan[];
  /** How many CPUIDs were steps of a scan, including those beyond the scans that are kept. */
  readonly steps: number;
  see(op: number, number: number, time: number): void;
} {
  const found: Scan[] = [];
  let run: Scan = { start: 0, end: 0, steps: 0 };
  let before = -1;
  let steps = 0;
  return {
    found,
    get steps() {
      return steps;
    },
    see(op, number, time) {
      if (op !== CPUID) return;
      const step = number >= SCAN_FIRST && number <= SCAN_LAST && number === before + STEP;
      before = number;
      if (step) {
        run.steps++;
        run.end = time;
        if (run.steps >= LEAST) steps += run.steps === LEAST ? LEAST : 1;
        if (run.steps === LEAST && found.length < MOST) found.push(run);
      } else run = { start: time, end: time, steps: 1 };
    },
  };
}
