/** Checks of "CPUID leaf 4F000001H": the list of tuples, its count, its end, and the leaves that the tuples name. */
import { hex, type Regs } from '../../cpu.ts';
import {
  decodeSignature,
  decodeTuple,
  LEAF_INTERFACES,
  MAX_INTERFACES,
  SIGNATURE,
} from '../../spec/index.ts';
import { type Implementation, isZeros, show } from '../implementation.ts';
import { type Finding, failed, passed, skipped } from '../rule.ts';
import { ODD_SUBLEAVES, quote } from './discovery.ts';

type Check = (implementation: Implementation) => Promise<Finding> | Finding;

const NULS = '\0'.repeat(12);

function withList(check: Check): Check {
  return (implementation) =>
    implementation.maxLeaf < LEAF_INTERFACES
      ? skipped(`no list: max_commonhv_leaf is ${hex(implementation.maxLeaf)}`)
      : check(implementation);
}

const at = (subleaf: number): string => `CPUID 0x4f000001.${hex(subleaf, 1)}`;

/** "Each tuple indicates the presence of another paravirtual interface identified by the signature" */
export const tuples = withList(({ entries }) => {
  for (const { subleaf, regs } of entries) {
    const { signature } = decodeTuple(regs);
    if (signature === NULS)
      return failed(`${at(subleaf)}: expected a signature that identifies an interface, got ${show(regs)}`);
    if (signature === SIGNATURE)
      return failed(`${at(subleaf)}: expected another interface than CommonHV itself, got ${show(regs)}`);
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
  const asked = Math.min(said, MAX_INTERFACES);
  const holes = asked - implementation.entries.length;
  if (holes > 0) {
    const listed = new Set(implementation.entries.map(({ subleaf }) => subleaf));
    let hole = 1;
    while (listed.has(hole)) hole++;
    return failed(
      `${at(0)}: EAX says ${hex(said)} tuples, expected one at subleaf ${hex(hole, 1)}, got zeros`,
    );
  }
  if (said > MAX_INTERFACES && isZeros(await implementation.cpuid(LEAF_INTERFACES, said)))
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

/** Subleaves above the list: in drafts 1 and 3 a MUST, in draft 2 nobody's business. */
export const end = withList(async (implementation) => {
  const first = implementation.draft === 1 ? implementation.entries.length : implementation.count + 1;
  const beyond = [first, first + 1, first + 2, first + 0x100, MAX_INTERFACES + 1, ...ODD_SUBLEAVES];
  for (const subleaf of new Set(beyond.filter((i) => i >= first && i <= 0xffff_ffff))) {
    const regs = await implementation.cpuid(LEAF_INTERFACES, subleaf);
    if (!isZeros(regs))
      return failed(`${at(subleaf)}, past the end of the list: expected zeros, got ${show(regs)}`);
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
