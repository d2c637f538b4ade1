/** Acknowledgements: how many of them are reported to the machine's owner. */
import { evidenceOf } from '../evidence.ts';
import { type Implementation, once } from '../implementation.ts';

/** Generations whose acknowledgement was written, by implementation: the first one of each is reported. */
export const toldOf = once(async () => new Set<bigint>());

/** Counts the acknowledgements that are reported to the machine's owner. */
export class Reports {
  readonly #implementation: Implementation;
  #count: number | undefined;

  constructor(implementation: Implementation) {
    this.#implementation = implementation;
  }

  static can({ generation, controls }: Implementation): boolean {
    return generation?.acknowledged === true && controls.has('acknowledgements');
  }

  /** Reports of a write that is not counted follow. */
  forget(): void {
    this.#count = undefined;
  }

  /** Before a write: nothing was reported since the last one. */
  async before(): Promise<void> {
    const now = await this.#implementation.controls.acknowledgements();
    const last = this.#count ?? now;
    this.#count = now;
    evidenceOf(this.#implementation).expect(
      'acknowledgement.repeated',
      now === last,
      () => `expected no report to the owner without a write, got ${now - last}`,
    );
  }

  /** After a write to the register that held `current`. */
  async after(value: bigint, current: bigint, name: string): Promise<void> {
    const told = await toldOf(this.#implementation);
    const now = await this.#implementation.controls.acknowledgements();
    const reported = now - this.#count!;
    this.#count = now;
    const first = value === current && !told.has(value);
    if (value === current) told.add(value);
    evidenceOf(this.#implementation).expect(
      first ? 'acknowledgement.report' : 'acknowledgement.repeated',
      reported === (first ? 1 : 0),
      () => `${name}: expected ${first ? 'one report' : 'no report'} to the owner, got ${reported}`,
    );
  }
}

/** The reports of the machine that `verify` was given, counted from its first question on. */
export const reportsOf = once(async (implementation: Implementation): Promise<Reports | undefined> => {
  if (!Reports.can(implementation)) return undefined;
  const reports = new Reports(implementation);
  await reports.before();
  return reports;
});
