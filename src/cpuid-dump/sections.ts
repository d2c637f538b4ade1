/** Puts the rows of a text together: which belong to one processor, and which processors to one machine. */
import type { Regs } from '../cpu.ts';
import { regsEqual } from './walk.ts';

export interface Answer extends Regs {
  readonly partial?: true | undefined;
}
/** Answers by leaf and subleaf, as they were first given. */
export type Leaves = Map<number, Map<number, Answer>>;

/** Consecutive rows of one processor. */
export interface Section {
  /** The number in the processor's heading. */
  readonly number: number | undefined;
  /** The view, or the side of a comparison, that the rows belong to. */
  readonly view: string | undefined;
  /** Where it begins in the text. */
  readonly line: number;
  readonly leaves: Leaves;
  /** Rows may be left out: it is an excerpt, such as one side of a comparison. */
  excerpt: boolean;
}

/** A processor, and the machine that it belongs to, counted from 0. */
export interface Assembled extends Section {
  readonly machine: number;
}

/** False where the leaf was given before, with other registers. Partial answers add up, contradict nothing, and give way. */
export function add(leaves: Leaves, leaf: number, subleaf: number, answer: Answer): boolean {
  let subleaves = leaves.get(leaf);
  if (subleaves === undefined) {
    subleaves = new Map();
    leaves.set(leaf, subleaves);
  }
  const earlier = subleaves.get(subleaf);
  if (earlier === undefined || (earlier.partial && !answer.partial)) {
    subleaves.set(subleaf, answer);
    return true;
  }
  if (earlier.partial && answer.partial) subleaves.set(subleaf, sum(earlier, answer));
  return answer.partial === true || regsEqual(earlier, answer);
}

function sum(a: Answer, b: Answer): Answer {
  const either = (x: number, y: number): number => (x | y) >>> 0;
  return {
    eax: either(a.eax, b.eax),
    ebx: either(a.ebx, b.ebx),
    ecx: either(a.ecx, b.ecx),
    edx: either(a.edx, b.edx),
    partial: true,
  };
}

/**
 * A heading with a number that the machine has already, or none, either continues that processor (`cpuid -1 -r` twice, for
 * different leaves) or begins another machine. The leaves that identify a machine decide.
 */
export function assemble(sections: readonly Section[]): readonly Assembled[] {
  const made: Assembled[] = [];
  /** The newest machine of each view. */
  const newest = new Map<
    string | undefined,
    { readonly id: number; readonly cpus: Map<number | undefined, Assembled> }
  >();
  let machines = 0;
  for (const section of sections) {
    if (section.leaves.size === 0) continue;
    const machine = newest.get(section.view);
    const known = machine && sameProcessor(machine.cpus, section.number);
    const contradicts = known !== undefined && !isConsistent(known.leaves, section.leaves);
    const [other] = machine?.cpus.values() ?? [];
    if (machine === undefined || contradicts || (other && vendorsDiffer(other.leaves, section.leaves))) {
      const processor = { ...section, machine: machines };
      newest.set(section.view, { id: machines++, cpus: new Map([[section.number, processor]]) });
      made.push(processor);
    } else if (known !== undefined) {
      for (const [leaf, subleaves] of section.leaves) {
        for (const [subleaf, answer] of subleaves) add(known.leaves, leaf, subleaf, answer);
      }
    } else {
      const processor = { ...section, machine: machine.id };
      machine.cpus.set(section.number, processor);
      made.push(processor);
    }
  }
  return made;
}

/** A heading without a number means the machine's only processor. */
function sameProcessor(
  cpus: ReadonlyMap<number | undefined, Assembled>,
  number: number | undefined,
): Assembled | undefined {
  const same = cpus.get(number);
  if (same !== undefined || cpus.size !== 1) return same;
  const [only] = cpus.values();
  return number === undefined || only!.number === undefined ? only : undefined;
}

/** The leaves that two dumps of one processor cannot differ in; APIC IDs, clocks and the like are not among them. */
function isConsistent(a: Leaves, b: Leaves): boolean {
  for (const [leaf, subleaves] of b) {
    const mine = a.get(leaf)?.get(0);
    const theirs = subleaves.get(0);
    if (mine === undefined || theirs === undefined) continue;
    if (leaf === 1) {
      if (!mine.partial && !theirs.partial && mine.eax !== theirs.eax) return false;
      if ((mine.ecx ^ theirs.ecx) >>> 31 !== 0) return false;
    } else if (identifies(leaf) && !sameText(mine, theirs)) return false;
  }
  return true;
}

function identifies(leaf: number): boolean {
  const isRoot = leaf >>> 28 === 4 && (leaf & 0xff) === 0;
  return leaf === 0 || isRoot || leaf >>> 24 === 0x4f || (leaf >= 0x8000_0002 && leaf <= 0x8000_0004);
}

/** A decoded dump has no EAX. */
function sameText(a: Answer, b: Answer): boolean {
  if (a.partial || b.partial) return a.ebx === b.ebx && a.ecx === b.ecx && a.edx === b.edx;
  return regsEqual(a, b);
}

function vendorsDiffer(a: Leaves, b: Leaves): boolean {
  const [mine, theirs] = [a.get(0)?.get(0), b.get(0)?.get(0)];
  return (
    mine !== undefined &&
    theirs !== undefined &&
    (mine.ebx !== theirs.ebx || mine.edx !== theirs.edx || mine.ecx !== theirs.ecx)
  );
}
