/** Checks of "CommonHV RNG": what a guest can see of the words in a few dozen reads, and of its own writes. */
import { type Fault, hex } from '../../cpu.ts';
import { type Finding, failed, passed, skipped } from '../rule.ts';
import { isFault, type Subject } from '../subject.ts';
import { neighboursOf, WORDS, wordsOf, writesOf } from './samples.ts';
import { strayRng } from './stray.ts';

type Rng = NonNullable<Subject['rng']>;
type Check = (subject: Subject, rng: Rng) => Promise<Finding> | Finding;

function withRng(check: Check): (subject: Subject) => Promise<Finding> | Finding {
  return (subject) =>
    subject.rng === undefined
      ? skipped('no RNG is offered, or none that can be found')
      : check(subject, subject.rng);
}

/** A check of the words themselves: of no use where the reads fault, or where there is only one word. */
function withWords(
  check: (words: readonly bigint[], rng: Rng) => Finding,
): (subject: Subject) => Promise<Finding> | Finding {
  return withRng(async (subject, rng) => {
    const words = (await wordsOf(subject)).filter((word) => !isFault(word));
    if (words.length < WORDS) return skipped('RDMSR raises exceptions: see rng.exception and features.rng');
    if (isConstant(words)) return skipped(`every word is ${word(words[0]!)}`);
    return check(words, rng);
  });
}

const word = (value: bigint): string => hex(value, 16);
const isConstant = (words: readonly (bigint | Fault)[]): boolean => words.every((w) => w === words[0]);

export const neverRaises = withRng(async (subject, { msr }) => {
  const words = [...(await wordsOf(subject))];
  if (words.every(isFault)) return skipped('nothing is there: see features.rng');
  if (subject.rng?.input) words.push(...(await writesOf(subject)).flatMap(({ after }) => after));
  const at = words.findIndex(isFault);
  if (at < 0) return passed(`${words.length} reads`);
  return failed(
    `RDMSR ${hex(msr)}: expected a word, got ${String(words[at])} at read ${at + 1} of ${words.length}`,
  );
});

/** Draft 3: "MUST NOT return one constant value". */
export const notConstant = withRng(async (subject, { msr }) => {
  const words = await wordsOf(subject);
  if (words.some(isFault)) return skipped('RDMSR raises exceptions: see rng.exception and features.rng');
  if (!isConstant(words)) return passed();
  if ((await strayRng(subject)) !== undefined) return skipped('a wrong index: see registers.rng');
  return failed(
    `RDMSR ${hex(msr)}: expected words that differ, got ${shown(words[0]!)} ${words.length} times`,
  );
});

/** Every word another one, those after a guest's writes included. */
export const different = withRng(async (subject, { msr, input }) => {
  const words = [...(await wordsOf(subject))];
  if (words.some(isFault)) return skipped('RDMSR raises exceptions: see rng.exception and features.rng');
  if (subject.draft === 3 && isConstant(words)) return skipped('one constant value: see rng.constant');
  if ((await strayRng(subject)) !== undefined) return skipped('a wrong index: see features.rng');
  const writes = input ? await writesOf(subject) : [];
  // In draft 3 words that writes have made constant break a sentence of their own, rng.lowered.
  if (subject.draft !== 3 || !writes.some(({ after }) => isConstant(after)))
    words.push(...writes.flatMap(({ after }) => after));
  const seen = new Map<bigint | Fault, number>();
  for (const [i, value] of words.entries()) {
    const before = seen.get(value);
    if (before !== undefined && !isFault(value))
      return failed(
        `RDMSR ${hex(msr)}: expected another word each time, got ${word(value)} at reads ${before + 1} and ${i + 1}; ` +
          `${new Set(words).size} different words in ${words.length} reads`,
      );
    seen.set(value, i);
  }
  return passed(`${words.length} different words`);
});

/** "a 64-bit best-effort random number": EAX and EDX both. */
export const bothHalves = withWords((words, { msr }) => {
  for (const [name, half] of [
    ['EDX', (w: bigint) => w >> 32n],
    ['EAX', (w: bigint) => w & 0xffff_ffffn],
  ] as const) {
    const first = half(words[0]!);
    if (words.every((w) => half(w) === first))
      return failed(
        `RDMSR ${hex(msr)}: expected 64 random bits, got ${hex(first)} in ${name} ${words.length} times`,
      );
  }
  return passed();
});

/** Not a test of randomness, which a few words cannot be: these are the mistakes that a few words show. */
export const fitForSeeding = withWords((words, { msr }) => {
  const distinct = [...new Set(words)];
  if (distinct.length < WORDS / 2) return skipped('too few different words: see rng.different');
  const mistake = clock(distinct) ?? twins(distinct) ?? stuckBit(distinct);
  return mistake === undefined
    ? passed()
    : failed(`RDMSR ${hex(msr)}: expected words fit for seeding, got ${mistake}`);
});

/** 64 random words in order would be one chance in 64 factorial. */
function clock(words: readonly bigint[]): string | undefined {
  const grows = words.every((w, i) => i === 0 || w > words[i - 1]!);
  const falls = words.every((w, i) => i === 0 || w < words[i - 1]!);
  if (!grows && !falls) return undefined;
  return `a counter or a clock: ${word(words[0]!)}, ${word(words[1]!)}, ${word(words[2]!)}`;
}

function twins(words: readonly bigint[]): string | undefined {
  if (!words.every((w) => w >> 32n === (w & 0xffff_ffffn))) return undefined;
  return `two halves alike: ${word(words[0]!)}`;
}

/** A bit that never moves; a half that never moves is `bothHalves`' affair. */
function stuckBit(words: readonly bigint[]): string | undefined {
  const ones = words.reduce((all, w) => all & w, 0xffff_ffff_ffff_ffffn);
  const zeros = words.reduce((all, w) => all & ~w, 0xffff_ffff_ffff_ffffn);
  const stuck = ones | zeros;
  const halves = [stuck & 0xffff_ffffn, stuck >> 32n].map((half) => (half === 0xffff_ffffn ? 0n : half));
  const bits = halves[0]! | (halves[1]! << 32n);
  return bits === 0n ? undefined : `bits that never change, the mask ${word(bits)}`;
}

/** Drafts 1 and 2: "a hypervisor is free to return zero". */
export const zeroAllowed = withRng(async (subject) => {
  const zeros = (await wordsOf(subject)).filter((w) => w === 0n).length;
  return passed(`${zeros} of ${WORDS} words are zero`);
});

/** A write where input is accepted: draft 1 always, draft 3 with bit 1. */
export const writeAccepted = withRng(async (subject, { msr, input }) => {
  if (!input) return skipped('no input is accepted: bit 1 is clear');
  if ((await wordsOf(subject)).every(isFault)) return skipped('nothing is there: see features.rng');
  const writes = await writesOf(subject);
  const refused = writes.find(({ fault }) => fault !== undefined);
  if (refused === undefined) return passed(`${writes.length} writes`);
  return failed(`WRMSR ${hex(msr)}: expected no exception, got ${refused.fault} for ${word(refused.value)}`);
});

/** Draft 3, bit 1 clear: #GP and nothing else. One write is enough, and zero is the least harmful. */
export const writeRefused = withRng(async (subject, { msr, input }) => {
  if (input) return skipped('input is accepted: bit 1 is set');
  const fault = await subject.wrmsr(msr, 0n);
  return fault === '#GP'
    ? passed()
    : failed(`WRMSR ${hex(msr)}: expected #GP, got ${fault ?? 'no exception'}`);
});

/** A sentence that allows both: what the hypervisor does is told, and passes. */
export const writeUnspecified = withRng(async (subject, { msr, input }) => {
  if (input) return skipped('input is accepted: bit 1 is set');
  return passed(
    `a write ${(await subject.wrmsr(msr, 0n)) ?? 'is dropped'}`.replace('write #', 'write raises #'),
  );
});

export const writeUse = withRng(async (subject, { input }) => {
  if (!input) return skipped('no input is accepted: bit 1 is clear');
  const refused = (await writesOf(subject)).some(({ fault }) => fault !== undefined);
  return passed(refused ? 'writes are refused' : 'accepted; whether they are used cannot be seen');
});

/** What was written comes back to the guest: it can as well come to another one. */
export const noEcho = withRng(async (subject, { msr, input }) => {
  if (!input) return skipped('no input is accepted: bit 1 is clear');
  const written = new Map<bigint, bigint>();
  for (const { value, after } of await writesOf(subject)) {
    // Zero and all ones have no shape of their own, and a hypervisor is free to return zero.
    if (value !== 0n && value !== 0xffff_ffff_ffff_ffffn)
      for (const form of [value, BigInt.asUintN(64, ~value), swapped(value)]) written.set(form, value);
    for (const read of after) {
      const source = isFault(read) ? undefined : written.get(read);
      if (source !== undefined)
        return failed(
          `RDMSR ${hex(msr)}: expected nothing of what was written, got ${shown(read)} after ${word(source)}`,
        );
    }
  }
  return passed();
});

const swapped = (value: bigint): bigint => BigInt.asUintN(64, (value << 32n) | (value >> 32n));
const shown = (value: bigint | Fault): string => (isFault(value) ? value : word(value));

/** The MSRs beside the advertised ones, which nobody asked to change. */
export async function neighboursKept(subject: Subject): Promise<Finding> {
  const neighbours = await neighboursOf(subject);
  if (neighbours.size === 0) return skipped('no register is offered');
  if ((await strayRng(subject)) !== undefined)
    return skipped('a wrong index: see features.rng and registers.rng');
  for (const [msr, before] of neighbours) {
    const now = await subject.rdmsr(msr);
    if (now !== before)
      return failed(`RDMSR ${hex(msr)}, a neighbour: was ${shown(before)}, is ${shown(now)}`);
  }
  return passed();
}

/** Words after zeros, all ones and patterns were written: still another one each time. */
export const writesLowerNothing = withRng(async (subject, { msr, input }) => {
  if (!input) return skipped('no input is accepted: bit 1 is clear');
  const before = await wordsOf(subject);
  const writes = await writesOf(subject);
  if ([...before, ...writes.flatMap(({ after }) => after)].some(isFault))
    return skipped('RDMSR raises exceptions: see rng.exception and features.rng');
  if (isConstant(before)) return skipped('one constant value: see rng.constant');
  const lowered = writes.find(({ after }) => isConstant(after));
  if (lowered === undefined) return passed();
  const { value, after } = lowered;
  return failed(
    `RDMSR ${hex(msr)} after ${word(value)} was written: expected words that differ, got ${shown(after[0]!)} ${after.length} times`,
  );
});
