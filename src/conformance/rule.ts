/** A rule: one normative sentence of the drafts, quoted, and how a processor is held to it. */
import type { Awaitable } from '../cpu.ts';
import type { Draft } from '../spec/index.ts';
import type { Implementation } from './implementation.ts';

/**
 * How strongly the sentence binds. A plain statement ("EBX, ECX, and EDX form the string") binds as a MUST. A note quotes no
 * sentence: its finding is worth telling and never a failure.
 */
export type Level = 'MUST' | 'SHOULD' | 'MAY' | 'advisory';

/** The finding of a check. The meaning of `failed` follows from the rule's level. */
export interface Finding {
  readonly outcome: 'passed' | 'failed' | 'skipped';
  /** The expectation and the answer, numbers in hex; for a skip, the reason. */
  readonly detail?: string | undefined;
  /** With `failed`: the text gives leave elsewhere, so it is a warning whatever the level and under `strict`. */
  readonly permitted?: true | undefined;
}

export const passed = (detail?: string): Finding =>
  detail === undefined ? { outcome: 'passed' } : { outcome: 'passed', detail };
export const failed = (detail: string): Finding => ({ outcome: 'failed', detail });
/** Unlike the sentence, and allowed by another one. */
export const permitted = (detail: string): Finding => ({ outcome: 'failed', detail, permitted: true });
export const skipped = (detail: string): Finding => ({ outcome: 'skipped', detail });

/** The part of a draft that a rule is from, by a name of this project; `SECTIONS` has the drafts' titles. */
export type Section =
  | 'discovery'
  | 'interfaces'
  | 'features'
  | 'msrs'
  | 'rng'
  | 'generation'
  | 'acknowledgement'
  | 'page'
  | 'nesting'
  | 'confidential'
  | 'which'
  | 'extension';

interface Sentence {
  /** `section.value`, unique within a draft. */
  readonly id: `${Section}.${string}`;
  /** The drafts that have the sentence. */
  readonly drafts: readonly Draft[];
  readonly level: Level;
  /** The draft's sentence, or sentences where one check holds several, word for word; an advisory says in its own words what is checked. */
  readonly text: string;
}

/** A sentence that a guest can check from where it is. */
export interface CheckedRule extends Sentence {
  /** Asks the implementation under test. What it throws fails the rule whatever its level, save for a MAY that met a malformed answer. */
  readonly check: (implementation: Implementation) => Awaitable<Finding>;
  /**
   * `first`: asked even where no CommonHV is found; `last`: asked when all others have been; `resumed`: restores saved
   * states, so it comes after everything else.
   */
  readonly when?: 'first' | 'last' | 'resumed' | undefined;
  /** Looked at again after the saved states: a copy may break a rule that the machine before kept. */
  readonly again?: true | undefined;
}

/** A sentence about guests. */
export interface GuestRule extends Sentence {
  /** The file of tests of this project's guest that holds it; `undefined` where there is nothing to test. */
  readonly testedBy: string | undefined;
  /** Why no test holds it. */
  readonly reason?: string | undefined;
}

/** A sentence about hypervisors that no guest can check, and why. */
export interface UncheckedRule extends Sentence {
  /** Why not. */
  readonly reason: string;
}

/** A normative sentence, or an advisory: checked by asking, about guests and held by a test, or beyond any check. */
export type Rule = CheckedRule | GuestRule | UncheckedRule;

/** Whether `verify` can check the rule. */
export const isChecked = (rule: Rule): rule is CheckedRule => 'check' in rule;
/** Whether the rule is about guests, which `verify` leaves out of its report. */
export const isGuestRule = (rule: Rule): rule is GuestRule => 'testedBy' in rule;

/** The part before the dot of a rule's `id`. */
export function sectionOf(rule: Pick<Rule, 'id'>): Section {
  return rule.id.slice(0, rule.id.indexOf('.')) as Section;
}

/** The drafts' own titles of their sections; a draft without the section has none. */
export const SECTIONS: Readonly<Record<Section, Readonly<Partial<Record<Draft, string>>>>> = {
  discovery: { 1: 'Discovery', 2: 'Discovery', 3: 'Discovery' },
  interfaces: {
    1: 'CPUID leaf 4F000001H: hypervisor interface enumeration',
    2: 'CPUID leaf 4F000001H: hypervisor interface enumeration',
    3: 'Interface enumeration',
  },
  features: {
    1: 'CPUID leaf 4F000002H: miscellaneous features',
    2: 'CPUID leaf 4F000002H: CommonHV features',
    3: 'Features',
  },
  msrs: { 1: 'CommonHV RNG', 2: 'CommonHV RNG', 3: 'MSR leaf' },
  rng: { 1: 'CommonHV RNG', 2: 'CommonHV RNG', 3: 'The RNG' },
  generation: { 3: 'The generation' },
  acknowledgement: { 3: 'Acknowledgement' },
  page: { 3: 'Generation page' },
  nesting: { 3: 'Nesting' },
  confidential: { 3: 'Confidential guests' },
  which: { 3: 'Which draft is it?' },
  extension: { 1: 'Future extension', 2: 'Future extension' },
};
