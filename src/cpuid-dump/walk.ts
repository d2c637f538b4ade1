/** Which leaves a processor has, and which of them are indexed: the questions that make a snapshot, in their order. */
import type { Regs } from '../cpu.ts';
import {
  LEAF_BASIC,
  LEAF_INTERFACES,
  LEAF_LAST,
  LEAF_MSRS,
  LEAF_ROOT,
  MAX_INTERFACES,
} from '../spec/leaves.ts';
import {
  LEAF_MAX_BASIC,
  LEAF_MAX_EXTENDED,
  SCAN_FIRST,
  SCAN_LAST,
  SCAN_STEP,
} from '../spec/other-interfaces.ts';

/** One answer of CPUID. */
export interface Row extends Regs {
  readonly leaf: number;
  readonly subleaf: number;
  /** Whether ECX matters for this leaf; where it does not, there is one row, with subleaf 0, and it answers for all. */
  readonly indexed: boolean;
  /** Only a vendor string, or only the hypervisor bit, is known: the dump is a decoded one. The other values are zeros. */
  readonly partial?: true | undefined;
}

/** By leaf, then subleaf. A subleaf that an indexed leaf does not list, and a leaf that is not listed, are zeros. */
export type CpuidDump = readonly Row[];

const MAX_QUESTIONS = 1 << 16;
const MAX_SUBLEAVES = 64;
/** Thrown when the questions are used up; the leaves that were read whole are kept. */
const SPENT = new Error('too many questions');

interface Question {
  readonly leaf: number;
  readonly subleaf: number;
}
type Walk<T> = Generator<Question, T, Regs>;

/** Asks for every leaf in turn; a generator, so that one text serves processors that answer at once and far ones. */
export function* walkLeaves(): Walk<CpuidDump> {
  const rows = new Map<number, readonly Row[]>();
  let left = MAX_QUESTIONS;
  function* ask(leaf: number, subleaf = 0): Walk<Regs> {
    if (left-- === 0) throw SPENT;
    return yield { leaf, subleaf };
  }
  /** A root, and the leaves after it up to the highest that it names. */
  function* range(root: number, { eax }: Regs): Walk<void> {
    // Old KVM and v86 say 0 and mean the leaf after the root; a number below the root comes from an echo.
    const last = eax === 0 ? root + 1 : Math.min(Math.max(eax, root), root + 0xff);
    for (let leaf = root; leaf <= last; leaf++) {
      const found = yield* readLeaf(ask, leaf);
      // Of CommonHV's own leaves zeros say something, and a reader can tell that none was left out.
      const told = leaf === root || leaf === LEAF_BASIC || (root === LEAF_ROOT && leaf <= LEAF_MSRS);
      if (told || found.some(isNonZero)) rows.set(leaf, found);
    }
  }
  try {
    yield* everyRange(ask, range, rows);
  } catch (error) {
    if (error !== SPENT) throw error;
  }
  return [...rows.values()].flat().sort((a, b) => a.leaf - b.leaf || a.subleaf - b.subleaf);
}

type Ask = (leaf: number, subleaf?: number) => Walk<Regs>;

function* everyRange(
  ask: Ask,
  range: (root: number, regs: Regs) => Walk<void>,
  rows: Map<number, readonly Row[]>,
): Walk<void> {
  const basic = yield* ask(LEAF_MAX_BASIC);
  const echo = yield* ask(basic.eax);
  const absent = yield* ask(LEAF_LAST);
  /** Whether a root answers for itself, or like an absent leaf (the traps of the scan). */
  const isThere = (root: number, regs: Regs) =>
    isNonZero(regs) &&
    !regsEqual(echo, regs) &&
    (!regsEqual(absent, regs) || (regs.eax >= root && regs.eax <= root + 0xff));

  yield* range(LEAF_MAX_BASIC, basic);
  yield* range(LEAF_MAX_EXTENDED, yield* ask(LEAF_MAX_EXTENDED));
  const roots = [LEAF_ROOT];
  let ended = false;
  for (let root = SCAN_FIRST; root <= SCAN_LAST; root += SCAN_STEP) roots.push(root);
  for (const root of roots) {
    const regs = yield* ask(root);
    if (isThere(root, regs)) yield* range(root, regs);
    // Zeros or an echo are worth keeping in three places: the roots, and the slot that ends the scan.
    else if (root === SCAN_FIRST || root === LEAF_ROOT || !ended) {
      rows.set(root, [rowOf(root, 0, false, regs)]);
      ended ||= root !== LEAF_ROOT;
    }
  }
  for (const { eax: location } of rows.get(LEAF_INTERFACES) ?? []) {
    if (location < SCAN_FIRST || location >= LEAF_MAX_EXTENDED || rows.has(location)) continue;
    const regs = yield* ask(location);
    if (isThere(location, regs)) yield* range(location, regs);
  }
}

function rowOf(leaf: number, subleaf: number, indexed: boolean, { eax, ebx, ecx, edx }: Regs): Row {
  return { leaf, subleaf, indexed, eax, ebx, ecx, edx };
}

function* readLeaf(ask: (leaf: number, subleaf: number) => Walk<Regs>, leaf: number): Walk<readonly Row[]> {
  const first = yield* ask(leaf, 0);
  const rows: Row[] = [rowOf(leaf, 0, isIndexed(leaf), first)];
  const more = MORE.get(leaf) ?? unknownMore;
  const most = leaf === LEAF_INTERFACES ? MAX_INTERFACES : MAX_SUBLEAVES - 1;
  let last = first;
  for (let subleaf = 1; subleaf <= most && more(subleaf, last, first); subleaf++) {
    last = yield* ask(leaf, subleaf);
    // An unknown leaf that answers subleaf 1 as it answers 0 takes no index.
    if (!MORE.has(leaf) && subleaf === 1 && regsEqual(first, last)) return rows;
    // Zeros tell the second answer of an unknown leaf from its first: it takes an index.
    const differs = !MORE.has(leaf) && subleaf === 1;
    if (isNonZero(last) || differs || isCounted(leaf, subleaf, first))
      rows.push(rowOf(leaf, subleaf, true, last));
  }
  return rows.length === 1 || isIndexed(leaf) ? rows : rows.map((row) => ({ ...row, indexed: true }));
}

/** Whether drafts 2 and 3 count this tuple, whose ECX and EDX in subleaf 0 are reserved; draft 1 has a signature there. */
function isCounted(leaf: number, subleaf: number, { eax, ecx, edx }: Regs): boolean {
  return leaf === LEAF_INTERFACES && (ecx | edx) === 0 && subleaf <= eax;
}

/** Whether a leaf is one that takes an index, by the manuals and the drafts. */
export function isIndexed(leaf: number): boolean {
  return MORE.has(leaf);
}

/** Whether to ask for `subleaf`, given the answer before it and that of subleaf 0. */
type More = (subleaf: number, before: Regs, first: Regs) => boolean;

const unknownMore: More = (subleaf, before) => subleaf === 1 || isNonZero(before);
const upToEax: More = (subleaf, _before, { eax }) => subleaf <= eax;
const caches: More = (_subleaf, { eax }) => (eax & 0x1f) !== 0; // EAX[4:0] is the cache's type, 0 for no more
const levels: More = (_subleaf, { ecx }) => (ecx & 0xff00) !== 0; // ECX[15:8] is the level's type, 0 for no more
const every: More = () => true; // a bit map somewhere says which; there are few enough to ask for all
const upTo =
  (last: number): More =>
  (subleaf) =>
    subleaf <= last;

/** The leaves whose answer depends on ECX (SDM volume 2 and AMD manual volume 3, CPUID; Linux has the same list). */
const MORE: ReadonlyMap<number, More> = new Map([
  [0x04, caches],
  [0x07, upToEax],
  [0x0b, levels],
  [0x0d, every],
  [0x0f, upTo(1)],
  [0x10, upTo(5)],
  [0x12, (subleaf, { eax }) => subleaf <= 2 || (eax & 0xf) !== 0],
  [0x14, upToEax],
  [0x17, upToEax],
  [0x18, upToEax],
  [0x1d, upToEax],
  [0x1e, upToEax],
  [0x1f, levels],
  [0x20, upToEax],
  [0x23, upTo(5)],
  [0x24, upToEax],
  [0x8000_001d, caches],
  [0x8000_0020, upTo(5)],
  [0x8000_0026, levels],
  // The count of drafts 2 and 3; draft 1 has none and ends with zeros. Its location in EAX only makes us ask for more.
  [LEAF_INTERFACES, (subleaf, before, { eax }) => subleaf <= eax || isNonZero(before)],
]);

export function isNonZero({ eax, ebx, ecx, edx }: Regs): boolean {
  return (eax | ebx | ecx | edx) !== 0;
}

export function regsEqual(a: Regs, b: Regs): boolean {
  return a.eax === b.eax && a.ebx === b.ebx && a.ecx === b.ecx && a.edx === b.edx;
}
