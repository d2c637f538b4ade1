/** Random values as they are read: each row is examined alone, and all rows of all machines against each other. */
import { type Cpu, hex } from '../../cpu.ts';
import { isFault, type Reading, shown } from '../answers.ts';
import { type Evidence, evidenceOf } from '../evidence.ts';
import type { Implementation } from '../implementation.ts';
import { WRITTEN } from './inputs.ts';
import { examineBits, isConstant, qualityOf } from './patterns.ts';
import { Windows } from './windows.ts';

/** Where a row was read. */
export interface Place {
  /** The machine, for a report: "the machine", "restore 2 in place". */
  readonly machine: string;
  /** `copy`: restored from a saved state; `other`: started from nothing. */
  readonly kind: 'first' | 'copy' | 'other';
  /** Index of the CPU. */
  readonly cpu: number;
  /** Read right after a guest's write to the RNG. */
  readonly written?: boolean | undefined;
}

export const where = ({ machine, cpu }: Place): string => `${machine}, CPU ${cpu}`;

/** Enough that a bit that never moves is no accident, and that values which are linear in the one before show it. */
export const VALUE_COUNT = 128;

/** Values more of CPUs that answer at once: of the machine's first one, of the others together, and of each at most. */
const MORE_FIRST = 2500;
const MORE_OTHERS = 2000;
const MORE_EACH = 600;
export const moreValues = ({ machine }: Pick<Implementation, 'machine'>, cpu: number): number =>
  cpu === 0 ? MORE_FIRST : Math.min(MORE_EACH, Math.floor(MORE_OTHERS / (machine.cpus.length - 1)));

/** Rules that say that values are not random: streams of such values are not compared in parts. */
const FLAWED = ['different', 'width', 'quality', 'lowered', 'state', 'saved', 'apart'].map(
  (id) => `rng.${id}`,
);

export class Streams {
  readonly #seen = new Map<bigint, Place>();
  readonly #windows = new Windows<Place>();
  #halves = new Uint32Array();
  readonly #overlaps = new Map<string, number>();
  /** Whether single values are wide enough that two equal ones are no accident. */
  wide = true;
  readonly implementation: Implementation;

  constructor(implementation: Implementation) {
    this.implementation = implementation;
  }

  has(value: bigint): boolean {
    return this.#seen.has(value);
  }

  /**
   * Whether both halves of a value were halves of random values, in either place. Bit 0 does not count: a value may have been
   * changed so that neither half is 0.
   */
  hasHalves(value: bigint): boolean {
    if (!this.wide) return false;
    if (this.#halves.length !== 2 * this.#seen.size)
      this.#halves = new Uint32Array(BigUint64Array.from(this.#seen.keys()).buffer);
    const has = (half: number): boolean => {
      for (const seen of this.#halves) if ((seen | 1) === half) return true;
      return false;
    };
    return has(Number(value & 0xffff_ffffn) | 1) && has(Number(value >> 32n) | 1);
  }

  /** Notes one value of a row that is no constant. */
  add(value: bigint, place: Place, evidence: Evidence): void {
    const { draft } = this.implementation;
    if (draft !== 3 && value === 0n) return; // "a hypervisor is free to return zero"
    const before = this.#seen.get(value);
    this.#seen.set(value, place);
    if (before === undefined || WRITTEN.has(value)) return; // an echo has a rule of its own
    const id = this.#ruleOf(before, place);
    const count = (this.#overlaps.get(id) ?? 0) + 1;
    this.#overlaps.set(id, count);
    const repeated = REPEATED(this.implementation);
    // Values that come twice anyway may do so on both sides of a restore.
    const enough = evidence.has(repeated) && id !== repeated ? 8 : this.wide ? 1 : 3;
    const accident = count < enough;
    evidence.expect(
      id,
      accident,
      () =>
        `RDMSR ${hex(this.implementation.rng!.msr)}: expected a value that nobody read before, got ${shown(value)} on ` +
        `${where(place)}, as earlier on ${where(before)}`,
    );
  }

  /** Compares a row with those before in parts: values that differ by a constant, or share some of their bits. */
  addParts(row: readonly bigint[], place: Place, evidence: Evidence): void {
    if ([...FLAWED, 'msrs.secure'].some((id) => evidence.has(id))) return;
    const values = this.implementation.draft === 3 ? row : row.filter((value) => value !== 0n);
    const found = this.#windows.add(values, place);
    if (found === undefined) return;
    const { before, by } = found;
    const same = before.machine === place.machine && before.cpu === place.cpu;
    evidence.expect(
      same ? qualityOf(this.implementation) : this.#ruleOf(before, place),
      false,
      () =>
        `RDMSR ${hex(this.implementation.rng!.msr)}: expected values of their own on ${where(place)}, got ` +
        `a row that follows from the one on ${where(before)} (${by})`,
    );
  }

  #ruleOf(before: Place, now: Place): string {
    const { draft } = this.implementation;
    const written = before.written === true || now.written === true;
    const repeated = REPEATED(this.implementation);
    const evidence = evidenceOf(this.implementation);
    if (before.machine === now.machine && evidence.has(repeated)) return repeated;
    if (draft === 3 && evidence.has('rng.lowered')) return 'rng.lowered';
    const replayed = evidence.has('rng.saved');
    if (
      draft === 3 &&
      written &&
      (before.machine === now.machine || (before.written && now.written && !replayed))
    )
      return 'rng.lowered';
    const copied = before.kind === 'copy' || now.kind === 'copy';
    if (copied && before.machine !== now.machine) return 'rng.saved';
    if (before.machine !== now.machine) return draft === 3 ? 'rng.state' : 'rng.apart';
    if (before.cpu !== now.cpu) return draft === 3 ? 'rng.state' : 'rng.different';
    return REPEATED(this.implementation);
  }
}

/** The rule about a value that comes twice: where all are stated to be secure, the statement is wrong. */
const REPEATED = ({ secure }: Implementation): string => (secure ? 'msrs.secure' : 'rng.different');

const all = new WeakMap<Implementation, Streams>();

export function streamsOf(implementation: Implementation): Streams {
  const streams = all.get(implementation) ?? new Streams(implementation);
  all.set(implementation, streams);
  return streams;
}

/** Reads a row of values, which begins with `first`, and examines it. */
export async function readRow(
  implementation: Implementation,
  cpu: Cpu,
  place: Place,
  count: number,
  first: readonly Reading[] = [],
): Promise<readonly Reading[]> {
  const values: Reading[] = [...first];
  const most = streamsOf(implementation).wide ? count : Math.min(count, VALUE_COUNT);
  for (let i = values.length; i < most; i++) values.push(await cpu.rdmsr(implementation.rng!.msr));
  examine(implementation, place, values);
  return values;
}

/** The rules of one row, and of the row beside all others. */
function examine(implementation: Implementation, place: Place, values: readonly Reading[]): void {
  const evidence = evidenceOf(implementation);
  const name = `RDMSR ${hex(implementation.rng!.msr)} on ${where(place)}`;
  if (!evidence.knows('rng.exception') && values.length >= 8) {
    const none = values.every(isFault);
    evidence.expect(
      'features.rng',
      !none,
      () => `${name}: expected the RNG that is offered, got ${shown(values[0])} each time`,
    );
    if (none) return;
  }
  const at = values.findIndex(isFault);
  evidence.expect(
    'rng.exception',
    at < 0,
    () => `${name}: expected a value, got ${shown(values[at])} at read ${at + 1} of ${values.length}`,
  );
  if (at >= 0) return;
  const row = values as readonly bigint[];
  const written = place.written === true;
  if (isConstant(implementation, written, row, name)) return;
  if (examineBits(implementation, written, row, name) && place.kind === 'first')
    streamsOf(implementation).wide = false;
  const { draft } = implementation;
  const echo = row.find((value) => WRITTEN.has(value));
  const lowered = draft === 3 && (written || place.kind === 'first');
  if (echo !== undefined || (draft === 3 && place.kind !== 'first'))
    evidence.expect(
      lowered ? 'rng.lowered' : 'rng.echo',
      echo === undefined,
      () => `${name}: expected nothing that was written, got ${shown(echo)}`,
    );
  const asked = [
    ...(row.length > 1 ? [REPEATED(implementation)] : []),
    ...(place.kind === 'copy' ? ['rng.saved'] : []),
    ...(place.kind === 'other' ? [draft === 3 ? 'rng.state' : 'rng.apart'] : []),
    ...(draft === 3 && place.cpu > 0 ? ['rng.state'] : []),
  ];
  for (const id of asked) evidence.expect(id, true, () => '');
  for (const value of row) streamsOf(implementation).add(value, place, evidence);
  if (!written && row.length <= VALUE_COUNT) streamsOf(implementation).addParts(row, place, evidence);
}
