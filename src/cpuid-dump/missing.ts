/** Missing leaves of a dump: those without which a question has no answer. */
import { hex, type Regs } from '../cpu.ts';
import {
  decodeCount,
  decodeRoot,
  LEAF_BASIC,
  LEAF_FEATURES,
  LEAF_INTERFACES,
  LEAF_MSRS,
  LEAF_ROOT,
  MAX_INTERFACES,
  ZEROS,
} from '../spec/leaves.ts';
import { SCAN_FIRST } from '../spec/other-interfaces.ts';
import { whichDraft } from '../spec/which.ts';
import type { CpuidDump } from './walk.ts';

/** An inconclusive question: the hypervisor bit, CommonHV's features, or the interfaces. */
export type Inconclusive = 'hypervisorBit' | 'commonhv' | 'interfaces';

/** Each question that the table leaves open, with the leaf that is missing, in one readable line. */
export function missingLeaves(table: CpuidDump): ReadonlyMap<Inconclusive, string> {
  const find = (leaf: number, subleaf = 0): Regs | undefined =>
    table.find((row) => row.leaf === leaf && row.subleaf === subleaf);
  const open = new Map<Inconclusive, string>();
  if (find(LEAF_BASIC) === undefined) {
    open.set('hypervisorBit', `leaf ${hex(LEAF_BASIC)} is missing: the hypervisor bit is not known`);
  }
  const root = find(LEAF_ROOT);
  const maxLeaf = root && decodeRoot(root);
  if (root === undefined) {
    open.set('commonhv', `leaf ${hex(LEAF_ROOT)} is missing: whether CommonHV is offered is not known`);
  }
  if (maxLeaf !== undefined && maxLeaf >= LEAF_INTERFACES) {
    const missing = missingOf(find, maxLeaf);
    if (missing !== undefined)
      open.set('commonhv', `${missing} is missing: what CommonHV offers is not known`);
  } else if (find(SCAN_FIRST) === undefined) {
    open.set('interfaces', `leaf ${hex(SCAN_FIRST)} is missing: which interfaces there are is not known`);
  }
  return open;
}

/** The first of CommonHV's leaves and tuples that is not there and should be. */
function missingOf(
  find: (leaf: number, subleaf?: number) => Regs | undefined,
  maxLeaf: number,
): string | undefined {
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
