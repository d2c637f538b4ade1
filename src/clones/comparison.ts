/** The result of comparing copies, as the reports take it. */

/**
 * How a source behaves: `random` must not repeat between copies; `control` was seeded before the save and always repeats;
 * `generation` must differ between copies; `identity` never changes within a copy; `information` is shown and not checked.
 */
export type Kind = 'random' | 'control' | 'generation' | 'identity' | 'information';

/** One source in one copy, over the samples that another copy has too. */
export interface CopySeries {
  /** Whether another copy has the same value, by row. */
  readonly shared: readonly boolean[];
  /** Milliseconds of each row after the copy's first sample. */
  readonly at: readonly number[];
}

/** The result of the comparison for one source. */
export interface SourceResult {
  readonly name: string;
  readonly kind: Kind;
  /**
   * `different`: no value is shared; `parted`: shared at first, not at the end; `alike`: shared to the end of the recording;
   * `not compared`: fewer than two copies have a value of their own.
   */
  readonly state: 'different' | 'parted' | 'alike' | 'not compared';
  /** Groups of copies that share values, each with two copies at least; positions in the list of recordings. */
  readonly groups: readonly (readonly number[])[];
  /** The most shared samples of a copy. */
  readonly samples: number;
  /** Milliseconds after a copy's first sample at which it is seen to differ, of the slowest copy; of its last one where it never does. */
  readonly milliseconds: number;
  /** The window in milliseconds that the caller allows. */
  readonly allowed: number;
  /** Whether it fails the comparison. */
  readonly failed: boolean;
  readonly series: readonly CopySeries[];
}

export interface CopyResult {
  readonly name: string;
  readonly samples: number;
  readonly damaged: number;
  readonly milliseconds: number;
  /** Milliseconds from one sample to the next, the median: a shorter difference is not seen. */
  readonly interval: number;
  /** Milliseconds by which CLOCK_REALTIME was stepped against CLOCK_MONOTONIC, from the first sample to the last. */
  readonly clockStep: number;
}

export interface Comparison {
  readonly copies: readonly CopyResult[];
  readonly sources: readonly SourceResult[];
  /** Contradictions, such as a generation that differs while the kernel's values repeat; one line each. */
  readonly findings: readonly string[];
  /** `undefined` where the recordings cannot tell; `reason` says why. */
  readonly differ: boolean | undefined;
  /** The result in one line. */
  readonly result: string;
}

/** "copies 1, 2 and 5". */
export function copyNumbers(group: readonly number[]): string {
  const numbers = group.map((i) => String(i + 1));
  return numbers.length === 1
    ? `copy ${numbers[0]}`
    : `copies ${numbers.slice(0, -1).join(', ')} and ${numbers.at(-1)}`;
}
