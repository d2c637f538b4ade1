/** `verify(cpu)`: the rules of a draft, one after the other, against a processor. */
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
import { BadAnswer, checked, type Implementation, type MachineControls, read } from './implementation.ts';
import {
  type CheckedRule,
  type Finding,
  isChecked,
  isGuestRule,
  type Level,
  type Rule,
  skipped,
} from './rule.ts';
import { rulesOf } from './rules/index.ts';

/** The draft to check, and the machine controls for the rules that need them. */
export interface VerifyOptions extends MachineControls {
  /** By which draft; by default the one that the leaves say, and draft 3 where there is nothing. */
  readonly draft?: Draft;
  /** A broken SHOULD fails instead of being a warning. */
  readonly strict?: boolean;
  /** How long one question may take, in milliseconds. Default 10,000. */
  readonly timeoutMs?: number;
}

/**
 * The result of a rule. A broken one is `failed` if it is a MUST, or a SHOULD under `strict`, and else `warned`;
 * `skipped`: it could not be asked, or no guest can check it.
 */
export type Outcome = 'passed' | 'failed' | 'warned' | 'skipped';

/** A rule about hypervisors, and its result; `id`, `level` and `text` are the rule's. */
export interface Result {
  readonly id: Rule['id'];
  readonly level: Level;
  readonly text: string;
  readonly outcome: Outcome;
  /** Expected and actual value, or the reason for the skip. */
  readonly detail: string | undefined;
}

/** The result of `verify`, as plain data. */
export interface Report {
  /** The draft that it was checked against; `undefined`: no CommonHV was found. */
  readonly draft: Draft | undefined;
  /** The draft whose rules these are: `draft`, or where there is none the one that it was looked for by. */
  readonly rulesOf: Draft;
  readonly passed: number;
  readonly failed: number;
  readonly warned: number;
  readonly skipped: number;
  /** Every sentence about hypervisors, in the order of the text; the four counts sum to their number. */
  readonly rules: readonly Result[];
}

/**
 * Verifies a processor by a draft. Never rejects for behaviour of the far end: a machine that breaks or goes silent fails the
 * rule that was asking, and the rest is skipped. Each question costs at most `patience`, and there are a few hundred.
 */
export async function verify(cpu: Cpu, options: VerifyOptions = {}): Promise<Report> {
  const { timeoutMs = 10_000, strict = false, draft, ...controls } = options;
  const check = (other: Cpu): Cpu => checked(other, timeoutMs);
  const asked = check(cpu);
  const found = await look(asked, draft, controls, check);
  const judgedBy = found.subject?.draft ?? found.by;
  const findings = await run(rulesOf(judgedBy), found);
  const results = rulesOf(judgedBy)
    .filter((rule) => !isGuestRule(rule))
    .map((rule): Result => {
      const finding = isChecked(rule)
        ? findings.get(rule)!
        : skipped(`no guest can check it: ${reasonOf(rule)}`);
      const { id, level, text } = rule;
      return { id, level, text, outcome: outcome(level, finding, strict), detail: finding.detail };
    });
  const count = (wanted: Outcome): number => results.filter((result) => result.outcome === wanted).length;
  return {
    draft: found.present ? judgedBy : undefined,
    rulesOf: judgedBy,
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
  readonly by: Draft;
  readonly subject: Implementation | undefined;
  /** Why there is nothing to verify. */
  readonly error?: unknown;
}

async function look(
  cpu: Cpu,
  draft: Draft | undefined,
  controls: MachineControls,
  check: (cpu: Cpu) => Cpu,
): Promise<Found> {
  try {
    const root = await cpu.cpuid(LEAF_ROOT, 0);
    const maxLeaf = decodeRoot(root);
    if (maxLeaf === undefined) {
      // The leaf itself can still be checked, and nothing else.
      const by = draft ?? 3;
      return { present: false, by, subject: await read(cpu, root, LEAF_ROOT, by, controls, check) };
    }
    const by = draft ?? (await detect(cpu, maxLeaf)) ?? 2;
    return { present: true, by, subject: await read(cpu, root, maxLeaf, by, controls, check) };
  } catch (error) {
    return { present: false, by: draft ?? 3, subject: undefined, error };
  }
}

async function detect(cpu: Cpu, maxLeaf: number): Promise<Draft | undefined> {
  const leaf = async (index: number) => (index <= maxLeaf ? cpu.cpuid(index, 0) : ZEROS);
  const interfaces = await leaf(LEAF_INTERFACES);
  return whichDraft({ maxLeaf, interfaces, features: await leaf(LEAF_FEATURES) });
}

const ORDER = ['first', undefined, 'last', 'resumed'] as const;

/** Asks in an order that disturbs least; reported is in the order of the text. */
async function run(all: readonly Rule[], found: Found): Promise<ReadonlyMap<Rule, Finding>> {
  const findings = new Map<Rule, Finding>();
  let broken = found.error;
  for (const when of ORDER) {
    for (const rule of all.filter(isChecked).filter((r) => r.when === when)) {
      if (found.subject === undefined || (broken !== undefined && !(broken instanceof BadAnswer))) {
        const first = findings.size === 0;
        findings.set(rule, first ? failure(broken) : skipped('the machine no longer answers'));
        continue;
      }
      try {
        findings.set(rule, await asked(rule, found.subject, found.present));
      } catch (error) {
        // A broken answer does not break a sentence that allows either answer.
        const either = rule.level === 'MAY' && error instanceof BadAnswer;
        findings.set(rule, either ? skipped(error.message) : failure(error));
        broken = error;
      }
    }
  }
  return findings;
}

async function asked(rule: CheckedRule, implementation: Implementation, present: boolean): Promise<Finding> {
  if (!present && rule.when !== 'first')
    return skipped('no CommonHV was found: see discovery.leaf and discovery.max-leaf');
  return rule.check(implementation);
}

/** An exception is a failure whatever the level: the outcome is made of `broke` alone. */
function failure(error: unknown): Finding & { readonly broke: true } {
  const detail = error instanceof Error ? error.message : String(error);
  const gone = error instanceof BadAnswer ? detail : `the machine broke or went silent: ${detail}`;
  return { outcome: 'failed', detail: gone, broke: true };
}

function outcome(level: Level, finding: Finding, strict: boolean): Outcome {
  if (finding.outcome !== 'failed' || 'broke' in finding) return finding.outcome;
  if (level === 'MUST') return 'failed';
  return level === 'SHOULD' && strict ? 'failed' : 'warned';
}

const reasonOf = (rule: Rule): string => ('reason' in rule ? rule.reason : '');
