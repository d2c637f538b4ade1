/** A command's access to the world: handed in by bin.ts, so that a test hands in its own. */

export interface Io {
  /** Text for standard output; resolves when it was taken, so that a flood waits for its reader. */
  out(text: string | Uint8Array): Promise<void>;
  /** One line for standard error. */
  err(line: string): void;
  /** A guest's own output, to standard error: where standard output is the command's. */
  guest(bytes: Uint8Array): void;
  /** A line on a terminal's standard error that the next one overwrites; nothing where there is no terminal. `''` clears it. */
  progress(line: string): void;
  /** Standard input as bytes; raw, where `raw` is called first. Ends with the input. */
  input(): AsyncIterable<Uint8Array>;
  /** Puts a terminal's standard input into raw mode, or back. */
  raw(on: boolean): void;
  /** Standard input and standard output are both a terminal. */
  readonly interactive: boolean;
  /** Standard output is a terminal that wants colours. */
  readonly color: boolean;
  /** Columns of the terminal that standard output is; absent where it is none. */
  readonly width?: number | undefined;
  /** Aborts at Ctrl-C, SIGTERM or SIGHUP. */
  readonly interrupted: AbortSignal;
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** The words of the command line were wrong: one line, exit 2. */
export class UsageError extends Error {
  override name = 'UsageError';
}

/** Why a file could not be read, for an error message. */
export function unread({ code, message }: NodeJS.ErrnoException): string {
  const known: Readonly<Record<string, string>> = {
    ENOENT: 'there is no such file',
    EISDIR: 'it is a folder',
    EACCES: 'it may not be read',
  };
  return known[code ?? ''] ?? `it cannot be read: ${code ?? message}`;
}

/** Why a file could not be written, for an error message. */
export function unwritten({ code, message }: NodeJS.ErrnoException): string {
  const known: Readonly<Record<string, string>> = {
    ENOENT: 'there is no such folder',
    EISDIR: 'it is a folder',
    EACCES: 'it may not be written',
  };
  return known[code ?? ''] ?? message;
}

type Style = 'bold' | 'dim' | 'red' | 'green' | 'yellow' | 'cyan';
const CODES: Record<Style, string> = {
  bold: '1',
  dim: '2',
  red: '31',
  green: '32',
  yellow: '33',
  cyan: '36',
};

export type Paint = (style: Style, text: string) => string;

/** Colours where the output is a terminal that wants them, plain text elsewhere. */
export function painter({ color }: { readonly color: boolean }): Paint {
  return (style, text) => (color ? `\x1b[${CODES[style]}m${text}\x1b[0m` : text);
}

/** Text from the far side, for a terminal: control characters are shown as dots, NULs at the end are dropped. */
export function printable(text: string): string {
  return text.replace(/\0+$/, '').replace(/[^ -~]/g, '.');
}

/** One line from the far side, for an error message. */
export function plainLine(text: string): string {
  return text.replace(/[^ -~]+/g, ' ').trim();
}

/** As `columns`; a terminal of `width` columns has a last cell that is longer than its line below itself. */
export function fitted(rows: readonly (readonly string[])[], width: number | undefined): string {
  if (width === undefined) return columns(rows);
  const columnsLeft = (rows[0] ?? [])
    .slice(0, -1)
    .map((_, i) => Math.max(...rows.map((row) => row[i]!.length)) + 2);
  const left = columnsLeft.reduce((sum, one) => sum + one, 0);
  const broken = rows.flatMap((row) =>
    wrap(row.at(-1)!, Math.max(width - left, MIN_WIDTH)).map((line, i) =>
      i === 0 ? [...row.slice(0, -1), line] : [...row.slice(1).map(() => ''), line],
    ),
  );
  return columns(broken);
}
/** Narrower than this a text is not read any more. */
const MIN_WIDTH = 24;

/** A line of text in lines of at most `width` characters, broken at spaces. */
function wrap(text: string, width: number): readonly string[] {
  const lines: string[] = [];
  for (const word of text.split(' ')) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + 1 + word.length <= width)
      lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(word);
  }
  return lines;
}

/** Rows with their columns aligned, two spaces between; colours do not count. The last column is not padded. */
export function columns(rows: readonly (readonly string[])[]): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: the escape sequences of `painter`
  const width = (text: string): number => text.replace(/\x1b\[\d+m/g, '').length;
  const widths: number[] = [];
  for (const row of rows) {
    for (const [i, cell] of row.entries()) widths[i] = Math.max(widths[i] ?? 0, width(cell));
  }
  return rows
    .map((row) =>
      row
        .map((cell, i) => (i === row.length - 1 ? cell : cell + ' '.repeat(widths[i]! - width(cell))))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}
