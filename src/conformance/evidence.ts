/** The findings of a run's stages, by rule: a stage asks the machine once, and the rules that it concerns look here. */
import { BadAnswer } from './answers.ts';
import { type Implementation, once } from './implementation.ts';
import { type Finding, failed, passed, skipped } from './rule.ts';

export class Evidence {
  readonly #failures = new Map<string, string>();
  readonly #asked = new Map<string, number>();

  /** Notes that a rule was asked, and the first failure of it. `detail` is made only where it is needed. */
  expect(id: string, holds: boolean, detail: () => string): boolean {
    this.#asked.set(id, (this.#asked.get(id) ?? 0) + 1);
    if (!holds && !this.#failures.has(id)) this.#failures.set(id, detail());
    return holds;
  }

  /** Whether the rule has failed. */
  has(id: string): boolean {
    return this.#failures.has(id);
  }

  /** Whether the rule was asked. */
  knows(id: string): boolean {
    return this.#asked.has(id);
  }

  /** The rule's finding; `reason`: why it was not asked, where it was not. */
  finding(id: string, reason: string): Finding {
    const failure = this.#failures.get(id);
    if (failure !== undefined) return failed(failure);
    const asked = this.#asked.get(id);
    return asked === undefined ? skipped(reason) : passed(asked === 1 ? undefined : `asked ${asked} times`);
  }
}

const all = new WeakMap<Implementation, Evidence>();

export function evidenceOf(implementation: Implementation): Evidence {
  const evidence = all.get(implementation) ?? new Evidence();
  all.set(implementation, evidence);
  return evidence;
}

export type Stage = (implementation: Implementation) => Promise<void>;

/** A stage that runs once, after another one. A malformed answer in the stage before fails the rules of that stage alone. */
export function stage(before: Stage | undefined, run: Stage): Stage {
  return once(async (implementation) => {
    try {
      await before?.(implementation);
    } catch (error) {
      if (!(error instanceof BadAnswer)) throw error;
    }
    await run(implementation);
  });
}
