/** Reads the lines of a dump in whatever form it was sent: quoted, prefixed, compared, wrapped. */
import { readDecoded } from './decoded.ts';
import type { Context, RowText } from './dialect.ts';
import { readRow } from './dialects.ts';
import { hasWrongDigits, isPadded, withoutWrongDigits } from './digits.ts';
import { looksDamaged, readHeading, readLeafLine, readTable } from './headings.ts';
import { withoutQuotes } from './normalise.ts';
import { add, type Section } from './sections.ts';

export interface Reading {
  readonly sections: readonly Section[];
  readonly problems: readonly string[];
}

/** More processors than any machine that a dump can come from; a bound for noise that looks like headings. */
const MAX_SECTIONS = 16_384;
/** A row that mail or a terminal broke has at most so many further lines. */
const MAX_JOINED = 5;
const MIN_ROW = 10;

/** `columns`: take rows of bare numbers too. */
export function readRows(text: string, columns: boolean): Reading {
  return new RowReader(text, columns).read();
}

type Side = '-' | '+';

class RowReader {
  private readonly lines: readonly string[];
  private readonly columns: boolean;
  private readonly sections: Section[] = [];
  /** The section that takes rows now, by view. */
  private current = new Map<string | undefined, Section>();
  private heading: { readonly number: number | undefined; readonly line: number } | undefined;
  private readonly context: Context = {};
  private readonly damaged = tally(
    (first, rest) => `line ${first} is damaged or cut off: expected a leaf and four registers${rest}`,
  );
  private readonly shortened = tally(
    (first, rest) => `line ${first} is damaged: expected 8 digits in each value, as in the other rows${rest}`,
  );
  private readonly padded: boolean;
  private readonly contrary = tally(
    (first, rest) => `line ${first} contradicts an earlier one and is ignored${rest}`,
  );
  /** Names of the two sides, where the text is a comparison. */
  private sides: Readonly<Record<Side, string>> | undefined;
  private readonly normalDiff: boolean;

  constructor(text: string, columns: boolean) {
    this.lines = text.split('\n');
    this.columns = columns;
    this.padded = !columns && isPadded(text);
    this.normalDiff = /^(?:> )?< .*[\da-f]{8}/m.test(text) && /^(?:> )?> .*[\da-f]{8}/m.test(text);
    if (this.normalDiff) this.sides = { '-': 'the old side', '+': 'the new side' };
  }

  read(): Reading {
    for (let i = 0; i < this.lines.length; i++) i += this.line(i);
    const shortened = this.shortened.problems();
    // The rows that are left out prove no absence.
    if (shortened.length > 0) for (const section of this.sections) section.excerpt = true;
    const problems = [...shortened, ...this.damaged.problems(), ...this.contrary.problems()];
    return { sections: this.sections, problems };
  }

  /** Reads line `i`; returns how many further lines belong to it. */
  private line(i: number): number {
    const whole = this.lines[i]!;
    const line = this.padded ? withoutWrongDigits(whole) : whole;
    if (line !== whole) this.shortened.add(i + 1);
    if (line.length < 4) return 0;
    if (this.diffHeader(line)) return 0;
    const row = readRow(line, 0, this.context, this.columns);
    if (row !== undefined) {
      this.rowsOf(line, i, row);
      return 0;
    }
    const number = readHeading(line);
    if (number !== undefined) {
      this.current.clear();
      this.context.leaf = undefined;
      this.heading = { number: number ?? undefined, line: i + 1 };
      return 0;
    }
    const table = readTable(line);
    const leaf = readLeafLine(line);
    if (table !== undefined) this.context.table = table;
    if (leaf !== undefined) this.context.leaf = leaf;
    if (table !== undefined || leaf !== undefined) return 0;
    const joined = this.joined(i);
    if (joined > 0) return joined;
    const decoded = this.columns ? undefined : readDecoded(line, this.context);
    if (decoded !== undefined) this.take(decoded, i, undefined);
    else if (!this.columns && looksDamaged(line)) this.damaged.add(i + 1);
    return 0;
  }

  /** A row, and what follows it in the same line: `diff -y`, or a text whose line ends were lost. */
  private rowsOf(line: string, i: number, first: RowText): void {
    // No row is shorter; most lines end with their only one.
    const second =
      line.length - first.end < MIN_ROW ? undefined : readRow(line, first.end, this.context, this.columns);
    const pair = second?.leaf === first.leaf && second.subleaf === first.subleaf;
    if (pair) {
      this.sides ??= { '-': 'the left side', '+': 'the right side' };
      this.take(first, i, '-');
      this.take(second!, i, '+');
      return;
    }
    this.take(first, i, this.sideOf(line));
    for (let row = second; row !== undefined; row = readRow(line, row.end, this.context, this.columns)) {
      this.take(row, i, undefined);
    }
  }

  /** Tries to complete line `i` with the lines after it. */
  private joined(i: number): number {
    let text = this.lines[i]!.trimEnd();
    if (!/[\da-fx:=]$/i.test(text) || !/\b(?:0x)?[\da-f]{6,8}|CPUID/i.test(text)) return 0;
    for (let more = 1; more <= MAX_JOINED; more++) {
      const next = this.lines[i + more];
      if (next === undefined || readRow(next, 0, this.context, this.columns) !== undefined) return 0;
      const rest = withoutQuotes(this.sides === undefined ? next : next.replace(/^[-+]/, '')).trimEnd();
      // A break inside of a number, and one between two.
      for (const between of ['', ' ']) {
        const together = `${text}${between}${rest}`;
        const row = readRow(together, 0, this.context, this.columns);
        if (row === undefined || (this.padded && hasWrongDigits(together))) continue;
        this.take(row, i, this.sideOf(this.lines[i]!));
        return more;
      }
      text += rest;
    }
    return 0;
  }

  /** Whether a line is a unified comparison's heading. */
  private diffHeader(line: string): boolean {
    if (!/^[>+@-]/.test(line)) return false;
    const name = /^(?:> ?)?(---|\+\+\+) (\S{1,200})/.exec(line);
    if (name !== null) {
      const side = name[1] === '---' ? '-' : '+';
      this.sides = { '-': 'the old side', '+': 'the new side', ...this.sides, [side]: name[2]! };
      this.current.clear();
      return true;
    }
    if (!/^(?:> ?)?@@ -\d/.test(line)) return false;
    this.sides ??= { '-': 'the old side', '+': 'the new side' };
    return true;
  }

  private sideOf(line: string): Side | undefined {
    if (this.sides === undefined) return undefined;
    if (this.normalDiff) return /^(?:> )?</.test(line) ? '-' : '+';
    const sign = /^(?:>[> ]*)?([-+])/.exec(line)?.[1];
    return sign === undefined ? undefined : (sign as Side);
  }

  private take(row: RowText, i: number, side: Side | undefined): void {
    const { sides } = this;
    const views =
      sides === undefined
        ? [row.table ?? this.context.table]
        : side === undefined
          ? [sides['-'], sides['+']]
          : [sides[side]];
    const { leaf, subleaf, eax, ebx, ecx, edx, partial } = row;
    const answer = partial ? { eax, ebx, ecx, edx, partial } : { eax, ebx, ecx, edx };
    for (const view of views) {
      const section = this.sectionFor(view, row, i);
      if (section === undefined || add(section.leaves, leaf, subleaf, answer)) continue;
      if (!row.logged) this.contrary.add(i + 1);
    }
  }

  private sectionFor(view: string | undefined, row: RowText, i: number): Section | undefined {
    const open = this.current.get(view);
    // Without headings, the first leaf again is another dump.
    const [first] = open?.leaves.keys() ?? [];
    const again = !row.partial && first === row.leaf && row.subleaf === 0 && open!.leaves.size > 1;
    if (open !== undefined && !again) return open;
    if (this.sections.length >= MAX_SECTIONS) return undefined;
    const section: Section = {
      number: again ? undefined : this.heading?.number,
      view,
      line: again || this.heading === undefined ? i + 1 : this.heading.line,
      leaves: new Map(),
      excerpt: this.sides !== undefined,
    };
    this.sections.push(section);
    this.current.set(view, section);
    return section;
  }
}

/** Counts one kind of trouble, and remembers where it was first. */
export function tally(say: (first: number, rest: string) => string) {
  let first = 0;
  let count = 0;
  return {
    add(number: number) {
      if (count++ === 0) first = number;
    },
    problems: () => (count === 0 ? [] : [say(first, count === 1 ? '' : ` (and ${count - 1} more)`)]),
  };
}
