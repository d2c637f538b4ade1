/** Checks of "CommonHV RNG": faults that show in a few dozen reads and in the guest's own writes. */
import { type Fault, hex } from '../../cpu.ts';
import { type Implementation, isFault } from '../implementation.ts';
import { type Finding, failed, passed, skipped } from '../rule.ts';
import { adjacentMsrsOf, randomValuesOf, VALUE_COUNT, writesOf } from './samples.ts';
import { strayRng } from './stray.ts';

type Rng = NonNullable<Implementation['rng']>;
type Check = (implementation: Implementation, rng: Rng) => Promise<Finding> | Finding;

function withRng(check: Check): (implementation: Implementation) => Promise<Finding> | Finding {
  return (implementation) =>
    implementation.rng === undefined
      ? skipped('no RNG is offered, or none that can be found')
      : check(implementation, implementation.rng);
}

/** A check of the values themselves: of no use where the reads fault, or where there is only one value. */
function withWords(
  check: (values: readonly bigint[], rng: Rng) => Finding,
): (implementation: Implementation) => Promise<Finding> | Finding {
  return withRng(async (implementation, rng) => {
    const values = (await randomValuesOf(implementation)).filter((value) => !isFault(value));
    if (values.length < VALUE_COUNT)
      return skipped('RDMSR raises exceptions: see rng.exception and features.rng');
    if (isConstant(values)) return skipped(`every value is ${text(values[0]!)}`);
    return check(values, rng);
  });
}

const text = (value: bigint): string => hex(value, 16);
const isConstant = (values: readonly (bigint | Fault)[]): boolean => values.every((w) => w === values[0]);

export const neverRaises = withRng(async (implementation, { msr }) => {
  const values = [...(await randomValuesOf(implementation))];
  if (values.every(isFault)) return skipped('nothing is there: see features.rng');
  if (implementation.rng?.input)
    values.push(...(await writesOf(implementation)).flatMap(({ after }) => after));
  const at = values.findIndex(isFault);
  if (at < 0) return passed(`${values.length} reads`);
  return failed(
    `RDMSR ${hex(msr)}: expected a value, got ${String(values[at])} at read ${at + 1} of ${values.length}`,
  );
});

/** Draft 3: "MUST NOT return one constant value". */
export const notConstant = withRng(async (implementation, { msr }) => {
  const values = await randomValuesOf(implementation);
  if (values.some(isFault)) return skipped('RDMSR raises exceptions: see rng.exception and features.rng');
  if (!isConstant(values)) return passed();
  if ((await strayRng(implementation)) !== undefined) return skipped('a wrong index: see registers.rng');
  return failed(
    `RDMSR ${hex(msr)}: expected values that differ, got ${shown(values[0]!)} ${values.length} times`,
  );
});

/** Every value another one, those after a guest's writes included. */
export const different = withRng(async (implementation, { msr, input }) => {
  const values = [...(await randomValuesOf(implementation))];
  if (values.some(isFault)) return skipped('RDMSR raises exceptions: see rng.exception and features.rng');
  if (implementation.draft === 3 && isConstant(values))
    return skipped('one constant value: see rng.constant');
  if ((await strayRng(implementation)) !== undefined) return skipped('a wrong index: see features.rng');
  const writes = input ? await writesOf(implementation) : [];
  // In draft 3 values that writes have made constant break a sentence of their own, rng.lowered.
  if (implementation.draft !== 3 || !writes.some(({ after }) => isConstant(after)))
    values.push(...writes.flatMap(({ after }) => after));
  const seen = new Map<bigint | Fault, number>();
  for (const [i, value] of values.entries()) {
    const before = seen.get(value);
    if (before !== undefined && !isFault(value))
      return failed(
        `RDMSR ${hex(msr)}: expected another value each time, got ${text(value)} at reads ${before + 1} and ${i + 1}; ` +
          `${new Set(values).size} different values in ${values.length} reads`,
      );
    seen.set(value, i);
  }
  return passed(`${values.length} different values`);
});

/** "a 64-bit best-effort random number": EAX and EDX both. */
export const bothHalves = withWords((values, { msr }) => {
  for (const [name, half] of [
    ['EDX', (w: bigint) => w >> 32n],
    ['EAX', (w: bigint) => w & 0xffff_ffffn],
  ] as const) {
    const first = half(values[0]!);
    if (values.every((w) => half(w) === first))
      return failed(
        `RDMSR ${hex(msr)}: expected 64 random bits, got ${hex(first)} in ${name} ${values.length} times`,
      );
  }
  return passed();
});

/** Not a test of randomness, which needs more values: these mistakes show in a few. */
export const fitForSeeding = withWords((values, { msr }) => {
  const distinct = [...new Set(values)];
  if (distinct.length < VALUE_COUNT / 2) return skipped('too few different values: see rng.different');
  const mistake = clock(distinct) ?? twins(distinct) ?? stuckBit(distinct);
  return mistake === undefined
    ? passed()
    : failed(`RDMSR ${hex(msr)}: expected values fit for seeding, got ${mistake}`);
});

/** 64 random values in order would be one chance in 64 factorial. */
function clock(values: readonly bigint[]): string | undefined {
  const grows = values.every((w, i) => i === 0 || w > values[i - 1]!);
  const falls = values.every((w, i) => i === 0 || w < values[i - 1]!);
  if (!grows && !falls) return undefined;
  return `a counter or a clock: ${text(values[0]!)}, ${text(values[1]!)}, ${text(values[2]!)}`;
}

function twins(values: readonly bigint[]): string | undefined {
  if (!values.every((w) => w >> 32n === (w & 0xffff_ffffn))) return undefined;
  return `two halves alike: ${text(values[0]!)}`;
}

/** A bit that never moves; `bothHalves` checks a half that never moves. */
function stuckBit(values: readonly bigint[]): string | undefined {
  const ones = values.reduce((all, w) => all & w, 0xffff_ffff_ffff_ffffn);
  const zeros = values.reduce((all, w) => all & ~w, 0xffff_ffff_ffff_ffffn);
  const stuck = ones | zeros;
  const halves = [stuck & 0xffff_ffffn, stuck >> 32n].map((half) => (half === 0xffff_ffffn ? 0n : half));
  const bits = halves[0]! | (halves[1]! << 32n);
  return bits === 0n ? undefined : `bits that never change, the mask ${text(bits)}`;
}

/** Drafts 1 and 2: "a hypervisor is free to return zero". */
export const zeroAllowed = withRng(async (implementation) => {
  const zeros = (await randomValuesOf(implementation)).filter((w) => w === 0n).length;
  return passed(`${zeros} of ${VALUE_COUNT} values are zero`);
});

/** A write where input is accepted: draft 1 always, draft 3 with bit 1. */
export const writeAccepted = withRng(async (implementation, { msr, input }) => {
  if (!input) return skipped('no input is accepted: bit 1 is clear');
  if ((await randomValuesOf(implementation)).every(isFault))
    return skipped('nothing is there: see features.rng');
  const writes = await writesOf(implementation);
  const refused = writes.find(({ fault }) => fault !== undefined);
  if (refused === undefined) return passed(`${writes.length} writes`);
  return failed(`WRMSR ${hex(msr)}: expected no exception, got ${refused.fault} for ${text(refused.value)}`);
});

/** Draft 3, bit 1 clear: #GP and nothing else. One write is enough, and zero is the least harmful. */
export const writeRefused = withRng(async (implementation, { msr, input }) => {
  if (input) return skipped('input is accepted: bit 1 is set');
  const fault = await implementation.wrmsr(msr, 0n);
  return fault === '#GP'
    ? passed()
    : failed(`WRMSR ${hex(msr)}: expected #GP, got ${fault ?? 'no exception'}`);
});

/** A sentence that allows both: the hypervisor's choice is reported, and passes. */
export const writeUnspecified = withRng(async (implementation, { msr, input }) => {
  if (input) return skipped('input is accepted: bit 1 is set');
  return passed(
    `a write ${(await implementation.wrmsr(msr, 0n)) ?? 'is dropped'}`.replace('write #', 'write raises #'),
  );
});

export const writeUse = withRng(async (implementation, { input }) => {
  if (!input) return skipped('no input is accepted: bit 1 is clear');
  const refused = (await writesOf(implementation)).some(({ fault }) => fault !== undefined);
  return passed(refused ? 'writes are refused' : 'accepted; whether they are used cannot be seen');
});

/** A written value is returned to the guest: it could be returned to another one too. */
export const noEcho = withRng(async (implementation, { msr, input }) => {
  if (!input) return skipped('no input is accepted: bit 1 is clear');
  const written = new Map<bigint, bigint>();
  for (const { value, after } of await writesOf(implementation)) {
    // Zero and all ones have no shape of their own, and a hypervisor is free to return zero.
    if (value !== 0n && value !== 0xffff_ffff_ffff_ffffn)
      for (const form of [value, BigInt.asUintN(64, ~value), swapped(value)]) written.set(form, value);
    for (const read of after) {
      const source = isFault(read) ? undefined : written.get(read);
      if (source !== undefined)
        return failed(
          `RDMSR ${hex(msr)}: expected nothing of what was written, got ${shown(read)} after ${text(source)}`,
        );
    }
  }
  return passed();
});

const swapped = (value: bigint): bigint => BigInt.asUintN(64, (value << 32n) | (value >> 32n));
const shown = (value: bigint | Fault): string => (isFault(value) ? value : text(value));

/** The MSRs beside the advertised ones, which nobody asked to change. */
export async function adjacentMsrsKept(implementation: Implementation): Promise<Finding> {
  const neighbours = await adjacentMsrsOf(implementation);
  if (neighbours.size === 0) return skipped('no register is offered');
  if ((await strayRng(implementation)) !== undefined)
    return skipped('a wrong index: see features.rng and registers.rng');
  for (const [msr, before] of neighbours) {
    const now = await implementation.rdmsr(msr);
    if (now !== before)
      return failed(`RDMSR ${hex(msr)}, a neighbour: was ${shown(before)}, is ${shown(now)}`);
  }
  return passed();
}

/** Values after zeros, all ones and patterns were written: still another one each time. */
export const writesLowerNothing = withRng(async (implementation, { msr, input }) => {
  if (!input) return skipped('no input is accepted: bit 1 is clear');
  const before = await randomValuesOf(implementation);
  const writes = await writesOf(implementation);
  if ([...before, ...writes.flatMap(({ after }) => after)].some(isFault))
    return skipped('RDMSR raises exceptions: see rng.exception and features.rng');
  if (isConstant(before)) return skipped('one constant value: see rng.constant');
  const lowered = writes.find(({ after }) => isConstant(after));
  if (lowered === undefined) return passed();
  const { value, after } = lowered;
  return failed(
    `RDMSR ${hex(msr)} after ${text(value)} was written: expected values that differ, got ${shown(after[0]!)} ${after.length} times`,
  );
});
