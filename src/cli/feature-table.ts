/** The form of the tables of feature leaves. */

export type Register = 'eax' | 'ebx' | 'ecx' | 'edx';

/** A register of a leaf, counted from the interface's first leaf. */
export interface FeatureRegister {
  readonly offset: number;
  readonly subleaf?: number | undefined;
  readonly register: Register;
  readonly title: string;
  /** Names by bit. */
  readonly bits?: Readonly<Record<number, string>> | undefined;
  /** Numbers inside of the register: name, lowest bit, width. */
  readonly fields?: readonly (readonly [name: string, shift: number, width: number])[] | undefined;
}

export interface FeatureTable {
  readonly name: string;
  readonly source: string;
  readonly registers: readonly FeatureRegister[];
}

/** A whole register as one number. */
export const whole = (offset: number, register: Register, name: string, subleaf = 0): FeatureRegister => ({
  ...{ offset, subleaf, register, title: name },
  fields: [[name, 0, 32]],
});
