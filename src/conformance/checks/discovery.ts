/** Checks of "Discovery": the hypervisor bit, leaf 4F000000H, and the leaves beyond max_commonhv_leaf. */
import { type Cpu, hex, type Regs } from '../../cpu.ts';
import {
  decodeSignature,
  encodeSignature,
  hasHypervisorBit,
  LEAF_BASIC,
  LEAF_FEATURES,
  LEAF_INTERFACES,
  LEAF_LAST,
  LEAF_MSRS,
  LEAF_ROOT,
  SIGNATURE,
  ZEROS,
} from '../../spec/index.ts';
import { evidenceOf } from '../evidence.ts';
import { type Implementation, isZeros, once, regsEqual, show } from '../implementation.ts';
import { type Finding, failed, passed, permitted, skipped } from '../rule.ts';
import { ODD_SUBLEAVES, somePast } from './subleaves.ts';

/** The last leaf that each draft describes. */
export const LAST_DESCRIBED = { 1: LEAF_FEATURES, 2: LEAF_MSRS, 3: LEAF_MSRS } as const;

export async function hypervisorBit(implementation: Implementation): Promise<Finding> {
  for (const [cpu, asked] of implementation.machine.cpus.entries()) {
    const { ecx } = await asked.cpuid(LEAF_BASIC, 0);
    if (hasHypervisorBit({ ...ZEROS, ecx })) continue;
    const detail = `CPUID 0x00000001 on CPU ${cpu}: expected bit 31 of ECX to be set, got ECX ${hex(ecx)}`;
    // READING: drafts 2 and 3 tell guests what to do where it is clear, so a hidden bit is no failure, under --strict either.
    return implementation.draft === 1 ? failed(detail) : permitted(detail);
  }
  return passed();
}

/** Draft 3 gives leave to hide the bit: either answer passes, and is told. */
export async function hypervisorBitEither(implementation: Implementation): Promise<Finding> {
  return passed(hasHypervisorBit(await implementation.cpuid(LEAF_BASIC, 0)) ? 'set' : 'clear');
}

export function signature({ root }: Implementation): Finding {
  const seen = decodeSignature(root);
  if (seen === SIGNATURE) return passed();
  const { ebx, ecx, edx } = encodeSignature(SIGNATURE);
  return failed(
    `CPUID 0x4f000000: expected EBX ${hex(ebx)} ECX ${hex(ecx)} EDX ${hex(edx)} (${quote(SIGNATURE)}), ` +
      `got EBX ${hex(root.ebx)} ECX ${hex(root.ecx)} EDX ${hex(root.edx)} (${quote(seen)})`,
  );
}

export function maxLeafRange({ root }: Implementation): Finding {
  if (decodeSignature(root) !== SIGNATURE) return skipped('no CommonHV: see discovery.leaf');
  if (root.eax >= LEAF_ROOT && root.eax <= LEAF_LAST) return passed(`max_commonhv_leaf is ${hex(root.eax)}`);
  return failed(`CPUID 0x4f000000: expected EAX from 0x4f000000 to 0x4fffffff, got ${hex(root.eax)}`);
}

/** READING: "the largest leaf defined in this specification" is one that the specification describes. */
export function maxLeafDescribed({ draft, maxLeaf }: Implementation): Finding {
  const last = LAST_DESCRIBED[draft];
  if (maxLeaf <= last) return passed();
  return failed(
    `max_commonhv_leaf: expected at most ${hex(last)}, which draft ${draft} ends with, got ${hex(maxLeaf)}`,
  );
}

/** Draft 3 has one sentence for the range, its lower bound and the largest leaf. */
export function maxLeafOfDraft3(implementation: Implementation): Finding {
  const range = maxLeafRange(implementation);
  if (range.outcome !== 'passed') return range;
  if (implementation.maxLeaf < LEAF_FEATURES)
    return failed(
      `max_commonhv_leaf: expected at least ${hex(LEAF_FEATURES)}, got ${hex(implementation.maxLeaf)}`,
    );
  const described = maxLeafDescribed(implementation);
  return described.outcome === 'passed' ? range : described;
}

/** The leaves of the text again, on every CPU, after everything else was asked. */
export const constantLeaves = once(async (implementation: Implementation): Promise<Finding> => {
  const evidence = evidenceOf(implementation);
  for (const [cpu, asked] of implementation.machine.cpus.entries()) {
    const changed = await changedLeaf(implementation, asked);
    if (!evidence.expect('discovery.constant', changed === undefined, () => `CPU ${cpu}: ${changed}`))
      return failed(`CPU ${cpu}: ${changed}`);
  }
  return passed(`${implementation.machine.cpus.length} CPUs`);
});

/** The subleaves past the list, as the first CPU answered them before any state was restored. */
export const pastOf = once(async (implementation: Implementation) => {
  const past: (readonly [leaf: number, subleaf: number, regs: Regs])[] = [];
  for (const [leaf, subleaf] of await somePast(implementation))
    past.push([leaf, subleaf, await implementation.cpuid(leaf, subleaf)]);
  return past;
});

/** A line about the first leaf that `again` answers in another way than the first CPU did. */
export async function changedLeaf(implementation: Implementation, again: Cpu): Promise<string | undefined> {
  const { maxLeaf, draft } = implementation;
  const before: (readonly [leaf: number, subleaf: number, regs: Regs])[] = [
    [LEAF_ROOT, 0, implementation.root],
    ...(maxLeaf >= LEAF_INTERFACES && draft !== 1
      ? [[LEAF_INTERFACES, 0, implementation.interfaces] as const]
      : []),
    ...implementation.entries.map(({ subleaf, regs }) => [LEAF_INTERFACES, subleaf, regs] as const),
    ...(maxLeaf >= LEAF_FEATURES ? [[LEAF_FEATURES, 0, implementation.features] as const] : []),
    ...(maxLeaf >= LEAF_MSRS && draft !== 1 ? [[LEAF_MSRS, 0, implementation.registers] as const] : []),
  ];
  before.push(...(await pastOf(implementation)));
  for (const [leaf, subleaf, regs] of before) {
    const now = await again.cpuid(leaf, subleaf);
    if (!regsEqual(regs, now))
      return `CPUID ${hex(leaf)}.${hex(subleaf, 1)}: expected ${show(regs)} as before, got ${show(now)}`;
  }
  return undefined;
}

/** Leaves without subleaves: the same for each, or zeros, as processors do; anything else reads as an accident. */
export async function oddSubleaves(implementation: Implementation): Promise<Finding> {
  for (const leaf of [LEAF_ROOT, LEAF_FEATURES, LEAF_MSRS].filter((leaf) => leaf <= implementation.maxLeaf)) {
    const first = await implementation.cpuid(leaf, 0);
    for (const subleaf of ODD_SUBLEAVES) {
      const regs = await implementation.cpuid(leaf, subleaf);
      if (!isZeros(regs) && !regsEqual(regs, first))
        return failed(
          `CPUID ${hex(leaf)}.${hex(subleaf, 1)}: expected zeros or what subleaf 0 answers, got ${show(regs)}`,
        );
    }
  }
  return passed();
}

/** Above max_commonhv_leaf a guest of the text treats everything as zeros; many hypervisors echo another leaf there. */
export async function beyondMax(implementation: Implementation): Promise<Finding> {
  const { maxLeaf } = implementation;
  const described = [LEAF_INTERFACES, LEAF_FEATURES, LEAF_MSRS].filter((leaf) => leaf > maxLeaf);
  const beyond = [...described, maxLeaf + 1, 0x4f00_0100, LEAF_LAST].filter(
    (leaf) => leaf > maxLeaf && leaf <= LEAF_LAST,
  );
  for (const leaf of new Set(beyond)) {
    const regs = await implementation.cpuid(leaf, 0);
    if (!isZeros(regs)) return failed(`CPUID ${hex(leaf)}, above max_commonhv_leaf, answers ${show(regs)}`);
  }
  return passed();
}

/** Twelve bytes, human-readable: quoted, and `\xHH` for unprintable ones, as the command line takes it. */
export function quote(text: string): string {
  const shown = text.replace(/[^ -~]|["\\]/g, (c) => `\\x${c.charCodeAt(0).toString(16).padStart(2, '0')}`);
  return `"${shown}"`;
}
