/** A register of the table of leaves that the reader looks at. */
import type { Row } from './row.ts';
import type { Register } from './words.ts';

export interface Selection {
  readonly row: Row;
  readonly register: Register;
}
