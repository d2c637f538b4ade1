/** Random values as they are read: each row is examined alone, and all rows of all machines against each other. */
import { type Cpu, hex } from '../../cpu.ts';
import { type Flaw, flawOf, isLinear } from '../../spec/index.ts';
import { isFault, type Reading, shown } from '../answers.ts';
import { type Evidence, evidenceOf } from '../evidence.ts';
import type { Implementation } from '../implementation.ts';
import { WRITTEN } from './inputs.ts';

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

class Streams {
  readonly #seen = new Map<bigint, Place>();
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

  /** Notes one value of a row that is no constant. */
  add(value: bigint, place: Place, evidence: Evidence): void {
    const { draft } = this.implementation;
    if (draft !== 3 && value === 0n) return; // "a hypervisor is free to return zero"
    if (WRITTEN.has(value)) return; // an echo, which has a rule of its own
    const before = this.#seen.get(value);
    this.#seen.set(value, place);
    if (before === undefined) return;
    const id = this.#ruleOf(before, place);
    const count = (this.#overlaps.get(id) ?? 0) + 1;
    this.#overlaps.set(id, count);
    const repeated = REPEATED(this.implementation);
    // Values that come twice anyway may do so on both sides of a restore.
    const enough = evidence.has(repeated) ? 8 : this.wide ? 1 : 3;
    const accident = count < enough && id !== repeated;
    evidence.expect(
      id,
      accident,
      () =>
        `RDMSR ${hex(this.implementation.rng!.msr)}: expected a value that nobody read before, got ${shown(value)} on ` +
        `${where(place)}, as earlier on ${where(before)}`,
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
  for (let i = values.length; i < count; i++) values.push(await cpu.rdmsr(implementation.rng!.msr));
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
  if (isConstant(implementation, place, row, name)) return;
  examineBits(implementation, place, row, name);
  const { draft } = implementation;
  if (draft === 3 && place.kind !== 'first') {
    const echo = row.find((value) => WRITTEN.has(value));
    const id = place.written === true ? 'rng.lowered' : 'rng.echo';
    evidence.expect(
      id,
      echo === undefined,
      () => `${name}: expected nothing that was written, got ${shown(echo)}`,
    );
  }
  const asked = [
    ...(row.length > 1 ? [REPEATED(implementation)] : []),
    ...(place.kind === 'copy' ? ['rng.saved'] : []),
    ...(place.kind === 'other' ? [draft === 3 ? 'rng.state' : 'rng.apart'] : []),
    ...(draft === 3 && place.cpu > 0 ? ['rng.state'] : []),
  ];
  for (const id of asked) evidence.expect(id, true, () => '');
  for (const value of row) streamsOf(implementation).add(value, place, evidence);
}

/** One value for ever; after that was seen nothing else is said of the values. */
function isConstant(
  implementation: Implementation,
  place: Place,
  row: readonly bigint[],
  name: string,
): boolean {
  const evidence = evidenceOf(implementation);
  const draft3 = implementation.draft === 3;
  const constant = draft3 ? 'rng.constant' : 'rng.different';
  const lowered =
    draft3 && (place.written === true || evidence.has('rng.lowered')) && !evidence.has(constant);
  const one = row.every((value) => value === row[0]);
  if (row.length >= 4)
    evidence.expect(
      lowered ? 'rng.lowered' : constant,
      !one,
      () => `${name}: expected values that differ, got ${shown(row[0])} ${row.length} times`,
    );
  return (row.length >= 4 && one) || (draft3 && evidence.has(constant));
}

/** Patterns in the bits of a row. */
function examineBits(
  implementation: Implementation,
  place: Place,
  row: readonly bigint[],
  name: string,
): void {
  const distinct = [...new Set(row)];
  if (distinct.length < 8) return;
  const evidence = evidenceOf(implementation);
  const flaw = flawOfRow(distinct);
  const lane = flaw?.kind === 'stuck' && flaw.width >= 32;
  if (lane && place.kind === 'first') streamsOf(implementation).wide = false;
  const known = implementation.secure ? ['msrs.secure'] : ['rng.width', 'rng.quality'];
  for (const id of known) evidence.expect(id, true, () => '');
  const after = place.written === true && implementation.draft === 3 && !known.some((id) => evidence.has(id));
  const id = after
    ? 'rng.lowered'
    : implementation.secure
      ? 'msrs.secure'
      : lane
        ? 'rng.width'
        : 'rng.quality';
  evidence.expect(
    id,
    flaw === undefined,
    () => `${name}: expected random values, got ${flaw?.text} in ${row.length} values`,
  );
}

/** Values of a row whose lanes are compared: a bit that never changes shows in 41. */
const LANE_VALUES = 48;

function flawOfRow(values: readonly bigint[]): Pick<Flaw, 'kind' | 'width' | 'text'> | undefined {
  return (
    flawOf(values.slice(0, LANE_VALUES)) ??
    (isLinear(values)
      ? { kind: 'alike', width: 1, text: 'bits that are linear functions of others' }
      : undefined)
  );
}
