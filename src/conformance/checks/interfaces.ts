/** Checks of "CPUID leaf 4F000001H": the list of tuples, its count, its end, and the leaves that the tuples name. */
import { hex, type Regs } from '../../cpu.ts';
import {
  decodeSignature,
  decodeTuple,
  LEAF_INTERFACES,
  LEAF_LAST,
  LEAF_ROOT,
  MAX_INTERFACES,
  SCAN_FIRST,
  SIGNATURE,
} from '../../spec/index.ts';
import { type Implementation, isQuick, isZeros, MAX_TUPLES, show } from '../implementation.ts';
import { type Finding, failed, passed, skipped } from '../rule.ts';
import { quote } from './discovery.ts';
import { farPast, firstPast, isOpen } from './subleaves.ts';

type Check = (implementation: Implementation) => Promise<Finding> | Finding;

const NULS = '\0'.repeat(12);

function withList(check: Check): Check {
  return (implementation) =>
    implementation.maxLeaf < LEAF_INTERFACES
      ? skipped(`no list: max_commonhv_leaf is ${hex(implementation.maxLeaf)}`)
      : check(implementation);
}

const at = (subleaf: number): string => `CPUID 0x4f000001.${hex(subleaf, 1)}`;

/** A rule of each tuple by itself: `wrong` returns the expectation that it breaks. */
const eachTuple = (wrong: (regs: Regs) => string | undefined): Check =>
  withList(({ entries }) => {
    for (const { subleaf, regs } of entries) {
      const expected = wrong(regs);
      if (expected !== undefined) return failed(`${at(subleaf)}: expected ${expected}, got ${show(regs)}`);
    }
    return entries.length === 0 ? skipped('the list is empty') : passed(`${entries.length} tuples`);
  });

/** "Each tuple indicates the presence of another paravirtual interface identified by the signature" */
export const tuples = eachTuple((regs) => {
  const { signature } = decodeTuple(regs);
  if (signature === NULS) return 'a signature that identifies an interface';
  return signature === SIGNATURE ? 'another interface than CommonHV itself' : undefined;
});

const isOwn = (location: number): boolean => location >= LEAF_ROOT && location <= LEAF_LAST;

export const notOwnRange = eachTuple(({ eax }) =>
  isOwn(eax) ? 'a location outside of 0x4f000000 to 0x4fffffff' : undefined,
);

const scanned = eachTuple(({ eax }) =>
  isOwn(eax) || (eax >= SCAN_FIRST && eax < LEAF_ROOT)
    ? undefined
    : 'a location from 0x40000000 to 0x4effffff',
);

/** Swapped fields look like wrong locations. */
export const inScanRange: Check = async (implementation) =>
  (await fields(implementation)).outcome === 'failed'
    ? skipped('see interfaces.fields')
    : scanned(implementation);

export const noTwice = withList(({ entries }) => {
  const seen = new Map<string, number>();
  for (const { subleaf, regs } of entries) {
    const before = seen.get(show(regs));
    if (before !== undefined)
      return failed(
        `${at(subleaf)}: expected another tuple than at subleaf ${hex(before, 1)}, got ${show(regs)}`,
      );
    seen.set(show(regs), subleaf);
  }
  return entries.length === 0 ? skipped('the list is empty') : passed(`${entries.length} tuples`);
});

/** Field order can be checked only against the leaf that a tuple points to: this catches swapped fields, not a consistent wrong entry. */
export const fields = withList(async (implementation) => {
  for (const { subleaf, regs } of implementation.entries) {
    const mistake = await mixedUp(implementation, regs);
    if (mistake !== undefined) return failed(`${at(subleaf)}: ${mistake}, got ${show(regs)}`);
  }
  return implementation.entries.length === 0 ? skipped('the list is empty') : passed();
});

async function mixedUp(
  implementation: Implementation,
  { eax, ebx, ecx, edx }: Regs,
): Promise<string | undefined> {
  const there = await implementation.cpuid(eax, 0);
  const told = [ebx, ecx, edx];
  const asked = [there.ebx, there.ecx, there.edx];
  if (asked.join() === told.join()) return undefined;
  if (!isNothing(told) && alike(asked, told))
    return `expected the signature's values in the order in which ${hex(eax)} has them`;
  for (const [name, location] of [
    ['EBX', ebx],
    ['ECX', ecx],
    ['EDX', edx],
  ] as const) {
    if (location < 0x4000_0000 || location > 0x4fff_ffff) continue;
    const other = await implementation.cpuid(location, 0);
    const rest = [eax, ...told].filter((_, i) => i !== ['EAX', 'EBX', 'ECX', 'EDX'].indexOf(name));
    if (!isNothing(rest) && alike([other.ebx, other.ecx, other.edx], rest))
      return `expected the location in EAX and the signature in EBX, ECX and EDX, found the location in ${name}`;
  }
  return undefined;
}

const alike = (a: readonly number[], b: readonly number[]): boolean =>
  [...a].sort((x, y) => x - y).join() === [...b].sort((x, y) => x - y).join();
const isNothing = (values: readonly number[]): boolean => values.every((value) => value === 0);

/** The text leaves it to the other interface whether its signature is there, so either answer passes. */
export const locations = withList(async (implementation) => {
  const missing: string[] = [];
  for (const { regs } of implementation.entries) {
    const { signature, location } = decodeTuple(regs);
    if (decodeSignature(await implementation.cpuid(location, 0)) !== signature)
      missing.push(`${quote(signature)} at ${hex(location)}`);
  }
  if (implementation.entries.length === 0) return skipped('the list is empty');
  if (missing.length === 0) return passed('every signature is at its location');
  const rest = missing.length > 4 ? ` and ${missing.length - 4} more` : '';
  return passed(`not at its location, which is allowed: ${missing.slice(0, 4).join(', ')}${rest}`);
});

/** Drafts 2 and 3: as many tuples as subleaf 0 says. The last one is asked for even where the count is absurd. */
export const count = withList(async (implementation) => {
  const said = implementation.count;
  const asked = Math.min(said, MAX_TUPLES);
  const holes = asked - implementation.entries.length;
  if (holes > 0) {
    const listed = new Set(implementation.entries.map(({ subleaf }) => subleaf));
    let hole = 1;
    while (listed.has(hole)) hole++;
    return failed(
      `${at(0)}: EAX says ${hex(said)} tuples, expected one at subleaf ${hex(hole, 1)}, got zeros`,
    );
  }
  if (said > MAX_TUPLES && isZeros(await implementation.cpuid(LEAF_INTERFACES, said)))
    return failed(
      `${at(0)}: EAX says ${hex(said)} tuples, expected one at subleaf ${hex(said, 1)}, got zeros`,
    );
  return passed(`${said} tuples`);
});

/** Draft 3: EBX of subleaf 0. */
export const preferred = withList(({ interfaces: { ebx }, count: said }) => {
  if (ebx <= said) return passed(ebx === 0 ? 'none' : `tuple ${ebx}`);
  return failed(`${at(0)}: expected EBX from 0 to ${hex(said, 1)}, the number of tuples, got ${hex(ebx)}`);
});

/** Subleaves past the end: over a line; of a CPU that answers at once; and of one that has answered all of those in time. */
const MIN_PAST = 96;
const QUICK_PAST = 1024;
const MAX_PAST = 8192;
const PAST_MS = 50;

/** Subleaves above the list: in drafts 1 and 3 a MUST, in draft 2 out of scope. */
export const end = withList(async (implementation) => {
  const first = firstPast(implementation);
  const far = await farPast(implementation);
  const quick = await isQuick(implementation);
  for (const [cpu, asked] of implementation.machine.cpus.entries()) {
    const wrong = async (subleaf: number): Promise<Finding | undefined> => {
      const regs = await asked.cpuid(LEAF_INTERFACES, subleaf);
      if (isZeros(regs)) return undefined;
      return failed(
        `${at(subleaf)} on CPU ${cpu}, past the end of the list: expected zeros, got ${show(regs)}`,
      );
    };
    for (const subleaf of far) {
      const finding = await wrong(subleaf);
      if (finding !== undefined) return finding;
    }
    if (isOpen(implementation)) continue;
    const many = quick ? (cpu === 0 ? MAX_PAST : QUICK_PAST) : cpu === 0 ? MIN_PAST : 8;
    const last = Math.min(first + many, 0xffff_ffff);
    const until = performance.now() + PAST_MS;
    for (let i = first; i <= last; i++) {
      if (i > first + QUICK_PAST && performance.now() > until) break;
      const finding = await wrong(i);
      if (finding !== undefined) return finding;
    }
  }
  return passed();
});

/** Draft 2 reserves EBX, ECX and EDX of subleaf 0, draft 3 the last two. READING: reserved means zero. */
export const reserved = withList(({ draft, interfaces: { ebx, ecx, edx } }) => {
  const names = draft === 3 ? 'ECX and EDX' : 'EBX, ECX and EDX';
  if (ecx === 0 && edx === 0 && (draft === 3 || ebx === 0)) return passed();
  return failed(`${at(0)}: expected zeros in ${names}, got EBX ${hex(ebx)} ECX ${hex(ecx)} EDX ${hex(edx)}`);
});

/** Guests bound their reads; a longer list is read in part. */
export const bound = withList(({ count: said }) =>
  said <= MAX_INTERFACES
    ? passed()
    : failed(`EAX says ${hex(said)} tuples: guests of this project read the first ${MAX_INTERFACES}`),
);
