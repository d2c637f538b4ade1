/** CommonHV of the host CPU: its MSRs, which no guest may reach through a layer, and its generation, which tells of copies. */
import { hostGeneration } from '#host-generation';
import { GP, type SyncCpu } from '../cpu.ts';
import {
  decodeFeatures,
  decodeMsrLeaf,
  decodeRngIndex,
  decodeRoot,
  LEAF_FEATURES,
  LEAF_INTERFACES,
  LEAF_MSRS,
  LEAF_ROOT,
  whichDraft,
  ZEROS,
} from '../spec/index.ts';

/** MSR indices that the host CPU's CommonHV provides, by its leaves. */
export interface OuterMsrs {
  readonly all: ReadonlySet<number>;
  /** MSR_COMMONHV_GENERATION, where it is provided. */
  readonly generation: number | undefined;
}

const NONE: OuterMsrs = { all: new Set(), generation: undefined };

/** Reads the host CPU's leaves once: "leaves never change". At most four CPUIDs. */
export function outerMsrs(host: SyncCpu): OuterMsrs {
  const maxLeaf = decodeRoot(host.cpuid(LEAF_ROOT, 0));
  if (maxLeaf === undefined) return NONE;
  const ask = (leaf: number) => (leaf > maxLeaf ? ZEROS : host.cpuid(leaf, 0));
  const features = ask(LEAF_FEATURES);
  const draft = whichDraft({ maxLeaf, interfaces: ask(LEAF_INTERFACES), features });
  if (draft === undefined) return NONE;
  if (draft === 1) {
    const msr = decodeRngIndex(features);
    return { all: new Set(msr === undefined ? [] : [msr]), generation: undefined };
  }
  if (maxLeaf < LEAF_MSRS) return NONE;
  const has = decodeFeatures(features);
  const at = decodeMsrLeaf(ask(LEAF_MSRS));
  const follows = draft === 3 && has.generation;
  const all = [has.rng ? at.rng : -1, follows ? at.generation : -1, follows && has.page ? at.page : -1];
  return {
    all: new Set(all.filter((index) => index >= 0)),
    generation: follows ? at.generation : undefined,
  };
}

/** The host CPU, without RDMSR and WRMSR of its CommonHV's registers: they raise #GP, as registers that are not there do. */
export function withoutOuter(host: SyncCpu, { all }: OuterMsrs): Pick<SyncCpu, 'rdmsr' | 'wrmsr'> {
  if (all.size === 0)
    return { rdmsr: (index) => host.rdmsr(index), wrmsr: (index, value) => host.wrmsr(index, value) };
  return {
    rdmsr: (index) => (all.has(index) ? GP : host.rdmsr(index)),
    wrmsr: (index, value) => (all.has(index) ? GP : host.wrmsr(index, value)),
  };
}

/**
 * Reads the generations that a layer follows by itself: that of the host CPU, and that of the machine in which this process runs, by its
 * driver or agent. Another value where either has changed; `undefined` where there is neither.
 */
export function followedBy(host: SyncCpu, outer: OuterMsrs): (() => bigint | undefined) | undefined {
  const [ofCpu, ofMachine] = [outerGeneration(host, outer), hostGeneration()];
  if (ofCpu === undefined || ofMachine === undefined) return ofCpu ?? ofMachine;
  return () => (ofMachine() << 64n) | (ofCpu() ?? 0n);
}

/** Reads the generation of the outer hypervisor; `undefined` where there is none to read. */
function outerGeneration(host: SyncCpu, { generation }: OuterMsrs): (() => bigint | undefined) | undefined {
  if (generation === undefined) return undefined;
  return () => {
    const value = host.rdmsr(generation);
    return typeof value === 'bigint' ? value : undefined;
  };
}
