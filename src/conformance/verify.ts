/** `verify(cpu)`: the rules of a draft, one after the other, against a machine. */
import type { Cpu } from '../cpu.ts';
import {
  type Draft,
  decodeRoot,
  LEAF_FEATURES,
  LEAF_INTERFACES,
  LEAF_ROOT,
  whichDraft,
  ZEROS,
} from '../spec/index.ts';
import { BadAnswer } from './answers.ts';
import { copiesStage } from './checks/copies.ts';
import type { MachineControls } from './controls.ts';
import { milliseconds } from './deadline.ts';
import { type Implementation, read, type Setting } from './implementation.ts';
import { bind, firstMachine, listed } from './machine.ts';
import {
  type CheckedRule,
  type Finding,
  isChecked,
  isGuestRule,
  type Level,
  type Rule,
  skipped,
} from './rule.ts';
import { rules, rulesOf } from './rules/index.ts';

/** By which draft, how strictly, and with which machine controls. */
export interface VerifyOptions extends MachineControls {
  /** The draft whose rules are asked; by default the one that the leaves say. Anything but 1, 2 and 3 is a TypeError. */
  readonly draft?: Draft | undefined;
  /** A broken SHOULD fails instead of being a warning. */
  readonly strict?: boolean | undefined;
  /** How long one question may take, in milliseconds, above 0; Infinity is the longest that a timer takes. Default 10,000. */
  readonly timeoutMs?: number | undefined;
  /** Also read the MSRs beside the advertised ones. Some hypervisors stop at an MSR that they do not know. Default false. */
  readonly probeMsrs?: boolean | undefined;
  /** Only these rules, by their ids; the report has no others. An id that the draft does not have is a RangeError. */
  readonly only?: readonly string[] | undefined;
}

/**
 * The outcome of a rule. One that was broken is `failed` if it is a MUST, or a SHOULD under `strict`, and else `warned`;
 * `skipped`: it could not be asked, or no guest can check it.
 */
export type Outcome = 'passed' | 'failed' | 'warned' | 'skipped';

/** A rule about hypervisors, and its outcome; `id`, `level` and `text` are the rule's. */
export interface Result {
  readonly id: Rule['id'];
  readonly level: Level;
  readonly text: string;
  readonly outcome: Outcome;
  /** The expectation and the answer, or why it was skipped. */
  readonly detail: string | undefined;
}

/** The result of `verify`, as plain data. */
export interface Report {
  /** Whether CommonHV was found: its twelve bytes, and a max_commonhv_leaf in its range. */
  readonly present: boolean;
  /** The draft whose rules were asked; `undefined`: no CommonHV was found, or one that offers nothing under any draft, or a later draft. */
  readonly draft: Draft | undefined;
  /** The draft whose rules these are: `draft`, or where there is none the one that it was looked for by. */
  readonly rulesOf: Draft;
  /** The number of a later draft, which this suite does not know: then every rule is skipped. */
  readonly later: number | undefined;
  /** How many CPUs of the machine were asked. */
  readonly processors: number;
  /** The machine controls that there were, human-readable: "restores in place". */
  readonly controls: readonly string[];
  /** Not checked for want of controls: "restores", "other processors". */
  readonly notChecked: readonly string[];
  readonly passed: number;
  readonly failed: number;
  readonly warned: number;
  readonly skipped: number;
  /** Every sentence about hypervisors, in the order of the text; the four counts sum to their number. */
  readonly rules: readonly Result[];
}

/**
 * Verifies a machine by a draft. Never rejects for anything that the far end does: a machine that breaks or goes silent fails
 * the rule that was asking, and the rest is skipped. Each question costs at most `timeoutMs`, and there are some hundreds.
 * Rejects with a TypeError or RangeError for a wrong option, which it names. Methods of class instances keep their `this`.
 */
export async function verify(cpu: Cpu, options: VerifyOptions = {}): Promise<Report> {
  const { draft, strict = false, probeMsrs = false, only } = options;
  if (draft !== undefined && draft !== 1 && draft !== 2 && draft !== 3)
    throw new TypeError(`draft: expected 1, 2 or 3, got ${String(draft)}`);
  const unknown = only?.find((id) => !rules.some((rule) => rule.id === id && !isGuestRule(rule)));
  if (unknown !== undefined) throw new RangeError(`only: no rule is called ${unknown}`);
  const timeoutMs = milliseconds(options.timeoutMs ?? 10_000, 'timeoutMs');
  const machine = firstMachine(cpu, options, timeoutMs);
  const controls = bind(options, machine, timeoutMs);
  const found = await look({ machine, controls, probeMsrs }, draft);
  const asked = rulesOf(found.by).filter(
    (rule) => !isGuestRule(rule) && (only === undefined || only.includes(rule.id)),
  );
  const findings = await run(asked, found);
  const results = asked.map((rule): Result => {
    const finding = isChecked(rule)
      ? findings.get(rule)!
      : skipped(`no guest can check it: ${reasonOf(rule)}`);
    const { id, level, text } = rule;
    return { id, level, text, outcome: outcome(level, finding, strict), detail: finding.detail };
  });
  const count = (wanted: Outcome): number => results.filter((result) => result.outcome === wanted).length;
  const { had, missing } = listed(controls);
  return {
    present: found.present,
    draft: found.draft,
    rulesOf: found.by,
    later: found.later,
    processors: machine.cpus.length,
    controls: had,
    notChecked: [
      ...(controls.has('restore') || controls.has('resume') ? [] : ['restores']),
      ...(machine.cpus.length > 1 ? [] : ['other processors']),
      ...missing.filter((name) => !/^(saves|restores in place|resumed copies)$/.test(name)),
    ],
    passed: count('passed'),
    failed: count('failed'),
    warned: count('warned'),
    skipped: count('skipped'),
    rules: results,
  };
}

interface Found {
  /** CommonHV is there: its twelve bytes, and a max_commonhv_leaf that can be one. */
  readonly present: boolean;
  /** The draft that the caller or the leaves say. */
  readonly draft: Draft | undefined;
  /** Whose rules are asked. */
  readonly by: Draft;
  readonly later: number | undefined;
  readonly implementation: Implementation | undefined;
  /** Why there is nothing to check. */
  readonly error?: unknown;
}

async function look(setting: Omit<Setting, 'draft'>, draft: Draft | undefined): Promise<Found> {
  const [cpu] = setting.machine.cpus;
  try {
    const root = await cpu.cpuid(LEAF_ROOT, 0);
    const maxLeaf = decodeRoot(root);
    if (maxLeaf === undefined) {
      // The leaf itself can still be checked, and nothing else.
      const by = draft ?? 3;
      const implementation = await read({ ...setting, draft: by }, root, LEAF_ROOT);
      return { present: false, draft: undefined, by, later: undefined, implementation };
    }
    const detected = await detect(cpu, maxLeaf);
    if (detected.number > 3 && (draft ?? 3) === 3)
      return { present: true, draft: undefined, by: 3, later: detected.number, implementation: undefined };
    // Where no reading offers anything, drafts 1 and 2 agree, and draft 2 asks for less.
    const by = draft ?? detected.draft ?? 2;
    const implementation = await read({ ...setting, draft: by }, root, maxLeaf);
    return { present: true, draft: draft ?? detected.draft, by, later: undefined, implementation };
  } catch (error) {
    return {
      present: false,
      draft: undefined,
      by: draft ?? 3,
      later: undefined,
      implementation: undefined,
      error,
    };
  }
}

/** The draft, and the number in 4F000002H.EBX where that is draft 3's or later. */
async function detect(cpu: Cpu, maxLeaf: number): Promise<{ draft: Draft | undefined; number: number }> {
  const leaf = async (index: number) => (index <= maxLeaf ? cpu.cpuid(index, 0) : ZEROS);
  const interfaces = await leaf(LEAF_INTERFACES);
  const features = await leaf(LEAF_FEATURES);
  const draft = whichDraft({ maxLeaf, interfaces, features });
  return { draft, number: draft === 3 ? features.ebx : 0 };
}

const ORDER = ['first', undefined, 'last', 'resumed'] as const;

/** Asks in an order that disturbs least; reported is in the order of the text. */
async function run(all: readonly Rule[], found: Found): Promise<ReadonlyMap<Rule, Finding>> {
  const findings = new Map<Rule, Finding>();
  const checked = all.filter(isChecked);
  if (found.later !== undefined) {
    const reason = `draft ${found.later}: this suite knows drafts 1 to 3, and cannot verify a later one`;
    for (const rule of checked) findings.set(rule, skipped(reason));
    return findings;
  }
  let broken = found.error;
  const gone = (): boolean =>
    found.implementation === undefined || (broken !== undefined && !(broken instanceof BadAnswer));
  const ask = async (rule: CheckedRule): Promise<void> => {
    try {
      findings.set(rule, await asked(rule, found.implementation!, found.present));
    } catch (error) {
      // A broken answer does not break a sentence that allows either answer.
      const either = rule.level === 'MAY' && error instanceof BadAnswer;
      findings.set(rule, either ? skipped(error.message) : failure(error));
      broken = error;
    }
  };
  for (const when of ORDER) {
    for (const rule of checked.filter((r) => r.when === when)) {
      if (!gone()) await ask(rule);
      else
        findings.set(rule, findings.size === 0 ? failure(broken) : skipped('the machine no longer answers'));
    }
  }
  await again(checked, found, findings, gone, ask);
  return findings;
}

/** Rules that passed on the machine, and may have failed on its copies: the stage of the copies has run, or runs now. */
async function again(
  checked: readonly CheckedRule[],
  found: Found,
  findings: ReadonlyMap<Rule, Finding>,
  gone: () => boolean,
  ask: (rule: CheckedRule) => Promise<void>,
): Promise<void> {
  const rest = checked.filter((rule) => rule.again === true && findings.get(rule)?.outcome !== 'failed');
  if (rest.length === 0 || !found.present || gone()) return;
  try {
    await copiesStage(found.implementation!);
  } catch {
    if (checked.some(({ when }) => when === 'resumed')) return; // a rule of that stage failed by it
  }
  for (const rule of rest) await ask(rule);
}

async function asked(rule: CheckedRule, implementation: Implementation, present: boolean): Promise<Finding> {
  if (!present && rule.when !== 'first')
    return skipped('no CommonHV was found: see discovery.leaf and discovery.max-leaf');
  return rule.check(implementation);
}

/** A machine that broke is a failure whatever the level: the outcome is made of `broke` alone. */
function failure(error: unknown): Finding & { readonly broke: true } {
  const detail = error instanceof Error ? error.message : String(error);
  const gone = error instanceof BadAnswer ? detail : `the machine broke or went silent: ${detail}`;
  return { outcome: 'failed', detail: gone, broke: true };
}

function outcome(level: Level, finding: Finding, strict: boolean): Outcome {
  if (finding.outcome !== 'failed' || 'broke' in finding) return finding.outcome;
  if (finding.permitted) return 'warned';
  if (level === 'MUST') return 'failed';
  return level === 'SHOULD' && strict ? 'failed' : 'warned';
}

const reasonOf = (rule: Rule): string => ('reason' in rule ? (rule.reason ?? '') : '');
