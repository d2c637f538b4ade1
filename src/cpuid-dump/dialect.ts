/** The form of a dialect: a pattern for one line, and how its groups become a row. */
import type { Row } from './walk.ts';

/** The registers of a leaf. `table` names one of several views in a text: VirtualBox prints its guest's and its host's. */
export interface RowText extends Omit<Row, 'indexed'> {
  readonly table?: string | undefined;
  /** Of a log, in which a leaf comes again as its answer changes: the first is kept. */
  readonly logged?: true | undefined;
  /** Where the row ends in its line. */
  readonly end: number;
  /** Where it begins. */
  readonly start: number;
}

/** The state left by earlier lines. */
export interface Context {
  /** The leaf whose subleaves follow (kcpuid), or whose host's registers follow (VirtualBox), or that comes again (CPU-Z). */
  leaf?: number | undefined;
  subleaf?: number | undefined;
  /** The view that rows belong to from here on (xen-cpuid, XTF). */
  table?: string | undefined;
  /** The hypervisor's leaf whose decoded lines follow (cpuid). */
  decoded?: number | undefined;
  /** The dialect that matched last is tried first. */
  likely?: Dialect | undefined;
}

export type Read = (
  match: RegExpExecArray,
  context: Context,
) => { -readonly [Key in Exclude<keyof RowText, 'start' | 'end' | 'partial'>]?: RowText[Key] };
export interface Dialect {
  readonly pattern: RegExp;
  /** By default the groups are leaf, subleaf, and the four registers. */
  readonly read?: Read | undefined;
}

export const HEX = String.raw`(?:0x)?([\da-f]{1,8})h?`;
export const WORD = String.raw`([\da-f]{8})`;
/** Four values. */
export const four = (value: string, between: string): string => Array(4).fill(value).join(between);

export const number = (text: string | undefined): number =>
  text === undefined ? 0 : Number.parseInt(text, 16);
export const registersAt = (match: RegExpExecArray, at: number, value = number) => ({
  eax: value(match[at]),
  ebx: value(match[at + 1]),
  ecx: value(match[at + 2]),
  edx: value(match[at + 3]),
});

export const plain: Read = (match) => ({
  leaf: number(match[1]),
  subleaf: number(match[2]),
  ...registersAt(match, 3),
});
