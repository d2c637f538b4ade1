/** What a benchmark hands back: figures, each with the bound that the project promises, where it promises one. */

export interface Figure {
  readonly name: string;
  readonly value: number;
  readonly unit: string;
  /** `most`: the value should be at most this; `least`: at least. */
  readonly most?: number;
  readonly least?: number;
}

/** Each `bench/NAME.ts` exports `bench`, which measures side by side, in one run, and gives ratios and medians. */
export type Bench = () => Promise<readonly Figure[]>;

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  if (sorted.length === 0) return Number.NaN;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}
