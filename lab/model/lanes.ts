/** The rows of the timeline: accesses, sorted into a few kinds, each with a place from 0 to 1 within its row. */
import { LEAF_ROOT } from 'commonhv/spec';
import { CPUID, FAULTED } from './protocol.ts';
import { SCAN_FIRST, SCAN_LAST } from './scan.ts';

export interface Lane {
  readonly title: string;
  /** A CSS variable. */
  readonly colour: string;
  /** Heights are shares. */
  readonly height: number;
}

/** From the top. */
export const LANES: readonly Lane[] = [
  { title: '0H to 1FH', colour: '--basic', height: 2 },
  { title: '4000xx00H', colour: '--scan', height: 5 },
  { title: '4F0000xxH', colour: '--commonhv', height: 2 },
  { title: '8000xxxxH', colour: '--extended', height: 2 },
  { title: 'RNG', colour: '--rng', height: 2 },
  { title: 'generation', colour: '--generation', height: 2 },
  { title: 'other MSRs', colour: '--msr', height: 2 },
];

const BASIC = 0;
const SCAN = 1;
const COMMONHV = 2;
const EXTENDED = 3;
const RNG = 4;
const GENERATION = 5;
const MSR = 6;

/** Which row an event stands in. */
export function laneOf(
  op: number,
  number: number,
  rng: number | undefined,
  generation: number | undefined,
): number {
  if ((op & ~FAULTED) === CPUID) {
    if (number >= 0x8000_0000) return EXTENDED;
    if (number >= LEAF_ROOT) return COMMONHV;
    return number >= SCAN_FIRST ? SCAN : BASIC;
  }
  if (number === rng) return RNG;
  return number === generation ? GENERATION : MSR;
}

/** The place in its row: a scan climbs from bottom to top, so that it shows as a ramp. */
export function placeOf(lane: number, number: number): number {
  return lane === SCAN && number <= SCAN_LAST ? (number - SCAN_FIRST) / (SCAN_LAST - SCAN_FIRST) : 0.5;
}
