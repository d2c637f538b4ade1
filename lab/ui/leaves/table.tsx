/** The table of leaves: one stop of the Tab key, inside of which the arrow keys go from register to register. */
import type { Regs } from 'commonhv';
import type { Draft } from 'commonhv/spec';
import type { Row } from '../../model/row.ts';
import type { Selection } from '../../model/selection.ts';
import { callName, hex8, registerName, textOf } from '../../model/text.ts';
import { REGISTERS, type Register, titleOf } from '../../model/words.ts';

interface TableProps {
  readonly rows: readonly Row[];
  readonly draft: Draft;
  readonly compare: number;
  /** The answer of the draft that is compared with. */
  readonly answer: ((row: Row) => Regs) | undefined;
  readonly pinned: Selection | undefined;
  readonly shown: Selection | undefined;
  pin(selection: Selection | undefined): void;
  hover(selection: Selection | undefined): void;
}

/** By how many registers a key goes; four make a row. */
const STEPS: Readonly<Record<string, number>> = {
  ArrowLeft: -1,
  ArrowRight: 1,
  ArrowUp: -4,
  ArrowDown: 4,
  PageUp: -40,
  PageDown: 40,
  Home: Number.NEGATIVE_INFINITY,
  End: Number.POSITIVE_INFINITY,
};

export function LeavesTable(props: TableProps) {
  const { rows, draft, answer, compare, pinned, shown, pin, hover } = props;
  return (
    // On the way to the bits the pointer crosses other registers: the selection is restored when it leaves.
    <table class="leaves" role="table" onMouseLeave={() => hover(undefined)} onKeyDown={walk}>
      <caption class="unseen">
        The leaves that the guest read, each register in hexadecimal; the arrow keys go from one to the next
      </caption>
      <thead role="rowgroup">
        <tr role="row">
          <th role="columnheader" scope="col">
            Leaf
          </th>
          {REGISTERS.map((register) => (
            <th key={register} role="columnheader" scope="col">
              {register.toUpperCase()}
            </th>
          ))}
        </tr>
      </thead>
      <tbody role="rowgroup">
        {rows.map((row) => (
          <LeafRow
            key={`${row.leaf}.${row.subleaf}`}
            row={row}
            title={titleOf(draft, row.leaf, row.subleaf, rows)}
            other={answer?.(row)}
            compare={compare}
            pinned={registerIn(row, pinned)}
            shown={registerIn(row, shown)}
            pin={pin}
            hover={hover}
          />
        ))}
      </tbody>
    </table>
  );
}

function walk(event: KeyboardEvent): void {
  const by = STEPS[event.key];
  if (by === undefined) return;
  const all = [...(event.currentTarget as HTMLElement).querySelectorAll<HTMLElement>('.register')];
  const at = all.indexOf(event.target as HTMLElement);
  if (at < 0) return;
  event.preventDefault();
  all[Math.min(all.length - 1, Math.max(0, at + by))]?.focus();
}

interface RowProps extends Pick<TableProps, 'compare' | 'pin' | 'hover'> {
  readonly row: Row;
  readonly title: string;
  readonly other: Regs | undefined;
  readonly pinned: Register | undefined;
  readonly shown: Register | undefined;
}

function LeafRow({ row, title, other, compare, pinned, shown, pin, hover }: RowProps) {
  return (
    <tr role="row">
      <th role="rowheader" scope="row">
        <code>{callName(row.leaf, row.subleaf)}</code>
        {title !== '' && <small>{title}</small>}
      </th>
      {REGISTERS.map((register) => {
        const name = registerName(row.leaf, row.subleaf, register);
        const differs = other !== undefined && other[register] !== row[register];
        const classes = [
          'register',
          differs && 'differs',
          row[register] === 0 && 'zero',
          shown === register && 'shown',
        ];
        return (
          <td key={register} role="cell" data-register={register.toUpperCase()}>
            <button
              type="button"
              class={classes.filter((part) => part !== false).join(' ')}
              tabIndex={pinned === register ? 0 : -1}
              aria-pressed={pinned === register}
              data-name={name}
              onClick={() => pin({ row, register })}
              onFocus={() => pin({ row, register })}
              onMouseEnter={() => hover({ row, register })}
            >
              <span class="unseen">{name}: </span>
              <Value value={row[register]} other={differs ? other[register] : undefined} compare={compare} />
            </button>
          </td>
        );
      })}
    </tr>
  );
}

function Value({ value, other, compare }: { value: number; other: number | undefined; compare: number }) {
  const text = textOf(value);
  return (
    <>
      <code>{hex8(value)}</code>
      {text !== undefined && <small class="text">{text}</small>}
      {other !== undefined && (
        <small class="other">
          <span class="unseen">, draft {compare}: </span>
          {hex8(other)}
        </small>
      )}
    </>
  );
}

function registerIn({ leaf, subleaf }: Row, selection: Selection | undefined): Register | undefined {
  const at = selection?.row;
  return at?.leaf === leaf && at.subleaf === subleaf ? selection?.register : undefined;
}
