/** Questions that a dump leaves open: each is decided by the leaves that it needs, and a leaf that is not recorded is not absent. */
import { hex, type Regs } from '../cpu.ts';
import { isVendorEcho } from '../spec/known.ts';
import {
  decodeCount,
  decodeRoot,
  hasHypervisorBit,
  LEAF_BASIC,
  LEAF_FEATURES,
  LEAF_INTERFACES,
  LEAF_MSRS,
  LEAF_ROOT,
  MAX_INTERFACES,
  ZEROS,
} from '../spec/leaves.ts';
import { LEAF_MAX_EXTENDED, SCAN_FIRST, SCAN_LAST, SCAN_STEP } from '../spec/other-interfaces.ts';
import { decodeSignature } from '../spec/signature.ts';
import { whichDraft } from '../spec/which.ts';
import type { CpuidDump } from './walk.ts';
import { isNonZero, regsEqual } from './walk.ts';

/** A question without an answer: the hypervisor bit, CommonHV's offer, or whether the list of interfaces is complete. */
export type Inconclusive = 'hypervisorBit' | 'commonhv' | 'interfaces';

type Find = (leaf: number, subleaf?: number) => Regs | undefined;

/** Each question that the dump leaves open, with the leaf that is missing, in one line. `excerpt`: rows may be left out. */
export function missingLeaves(dump: CpuidDump, excerpt = false): ReadonlyMap<Inconclusive, string> {
  const rows = new Map(dump.map((row) => [row.leaf * 2 ** 20 + row.subleaf, row]));
  const find: Find = (leaf, subleaf = 0) => rows.get(leaf * 2 ** 20 + subleaf);
  const open = new Map<Inconclusive, string>();
  const basic = find(LEAF_BASIC);
  if (basic === undefined) {
    open.set('hypervisorBit', `leaf ${hex(LEAF_BASIC)} is missing: the hypervisor bit is not known`);
  }
  const slots = dump.filter(({ leaf, subleaf }) => subleaf === 0 && isSlot(leaf));
  const root = find(LEAF_ROOT);
  const maxLeaf = root && decodeRoot(root);
  if (maxLeaf !== undefined && maxLeaf >= LEAF_INTERFACES) {
    const missing = missingOf(find, maxLeaf);
    if (missing !== undefined) open.set('commonhv', `${missing} is missing: CommonHV's offer is not known`);
    return open;
  }
  const clear = basic !== undefined && !hasHypervisorBit(basic);
  const found = slots.filter((row) => isInterface(row, dump));
  const whole = clear && found.length === 0 && !excerpt && isWhole(find, dump);
  const bare = whole || (clear && found.length === 0 && slots.length > 0);
  if (root === undefined && !bare) {
    const remedy = 'commonhv dump writes it, or cpuid -r -l 0x4f000000';
    open.set(
      'commonhv',
      `leaf ${hex(LEAF_ROOT)} is missing (${remedy}): whether CommonHV is offered is not known`,
    );
  }
  const next = scanEnd(find, dump);
  if (!bare && next !== undefined) {
    open.set(
      'interfaces',
      `leaf ${hex(next)} is missing: ${next === SCAN_FIRST ? 'which interfaces there are' : 'which more interfaces there are'} is not known`,
    );
  }
  return open;
}

/** Whether the dump was not cut off before the hypervisor's range: tools go on to 80000000H, which old processors lack. */
function isWhole(find: Find, dump: CpuidDump): boolean {
  if (dump.some(({ leaf }) => leaf >= LEAF_MAX_EXTENDED)) return true;
  const root = dump.find(({ leaf, partial }) => leaf === 0 && !partial);
  const max = root?.eax ?? Number.POSITIVE_INFINITY;
  return (
    max <= 3 && Array.from({ length: max + 1 }, (_, leaf) => find(leaf)).every((regs) => regs !== undefined)
  );
}

const isSlot = (leaf: number): boolean => leaf >= SCAN_FIRST && leaf <= SCAN_LAST && leaf % SCAN_STEP === 0;

/** The first slot that is not recorded, before one that is recorded and shows nothing; `undefined` where the scan ended. */
function scanEnd(find: Find, dump: CpuidDump): number | undefined {
  for (let slot = SCAN_FIRST; slot <= SCAN_LAST; slot += SCAN_STEP) {
    const regs = find(slot);
    if (regs === undefined) return slot;
    if (!isInterface({ leaf: slot, ...regs }, dump)) return undefined;
  }
  return undefined;
}

/** Whether a slot answers for itself: not with zeros, nor as a leaf does that is not there. */
function isInterface(row: Regs & { readonly leaf: number }, dump: CpuidDump): boolean {
  const { leaf, eax, ebx, ecx, edx } = row;
  if (!isNonZero(row)) return false;
  if (eax >= leaf && eax < leaf + SCAN_STEP) return true;
  const signature = decodeSignature(row);
  if ((ebx | ecx | edx) === 0 || !/^[ -~]+\0*$/.test(signature) || isVendorEcho(signature)) return false;
  // An echo shows elsewhere too.
  return !dump.some((other) => other.leaf !== leaf && regsEqual(other, row));
}

/** The first of CommonHV's leaves and tuples that is not there and should be. */
function missingOf(find: Find, maxLeaf: number): string | undefined {
  for (let leaf = LEAF_INTERFACES; leaf <= Math.min(maxLeaf, LEAF_MSRS); leaf++) {
    if (find(leaf) === undefined) return `leaf ${hex(leaf)}`;
  }
  const interfaces = find(LEAF_INTERFACES) ?? ZEROS;
  const draft = whichDraft({ maxLeaf, interfaces, features: find(LEAF_FEATURES) ?? ZEROS });
  if (draft === undefined || draft === 1) return undefined; // draft 1 gives no count
  for (let i = 1; i <= Math.min(decodeCount(interfaces).count, MAX_INTERFACES); i++) {
    if (find(LEAF_INTERFACES, i) === undefined) return `leaf ${hex(LEAF_INTERFACES)} subleaf ${i}`;
  }
  return undefined;
}
