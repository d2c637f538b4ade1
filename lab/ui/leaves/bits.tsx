/** One register bit by bit, with the draft's words for each; folded away on a phone until it is wanted. */
import type { Regs } from 'commonhv';
import type { Draft } from 'commonhv/spec';
import { useLayoutEffect, useState } from 'preact/hooks';
import type { Selection } from '../../model/selection.ts';
import { hex8, registerName } from '../../model/text.ts';
import { type Field, fieldsOf } from '../../model/words.ts';

const BYTES = [24, 16, 8, 0].map((first) => Array.from({ length: 8 }, (_, i) => first + 7 - i));
/** By how many bits a key goes; a byte is a row. */
const STEPS: Readonly<Record<string, number>> = { ArrowLeft: 1, ArrowRight: -1, ArrowUp: 8, ArrowDown: -8 };
const ENDS: Readonly<Record<string, number>> = { Home: 31, End: 0 };
/** On a narrow page the panel would cover the table. */
const WIDE = matchMedia('(min-width: 40.01rem)').matches;

interface BitsProps {
  readonly selection: Selection;
  readonly draft: Draft;
  /** The answer of the draft that is compared with. */
  readonly other: Regs | undefined;
  readonly compare: number;
}

export function BitsView(props: BitsProps) {
  const { row, register } = props.selection;
  const fields = fieldsOf(props.draft, row.leaf, row.subleaf, register);
  const [at, setAt] = useState(0);
  const [open, setOpen] = useState(WIDE);
  const name = registerName(row.leaf, row.subleaf, register);
  // Before the next key is taken: an effect after the paint would put the reader back to the first bit.
  useLayoutEffect(
    () => setAt(Math.max(0, fields.find(({ name }) => name !== 'reserved')?.first ?? 0)),
    [name],
  );
  return (
    <details class="bits" open={open} onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>
        <h3>
          {name} = <code>{hex8(row[register])}H</code>
        </h3>
      </summary>
      <div class="bit-panel">
        <BitRow {...{ name, fields, at, setAt }} value={row[register]} other={props.other?.[register]} />
        <Words {...props} field={fieldAt(fields, at)} at={at} />
      </div>
    </details>
  );
}

const fieldAt = (fields: readonly Field[], at: number): Field | undefined =>
  fields.find(({ first, last }) => at >= first && at <= last);

interface BitRowProps {
  readonly name: string;
  readonly value: number;
  readonly other: number | undefined;
  readonly fields: readonly Field[];
  readonly at: number;
  setAt(bit: number): void;
}

function BitRow(props: BitRowProps) {
  const { name, at, setAt } = props;
  return (
    <div
      class="bit-row"
      role="radiogroup"
      aria-label={`Bits of ${name}, 31 to 0`}
      onKeyDown={(event) => {
        const by = STEPS[event.key];
        const to = by === undefined ? ENDS[event.key] : at + by;
        if (to === undefined || to < 0 || to > 31) return;
        event.preventDefault();
        setAt(to);
        event.currentTarget.querySelectorAll<HTMLElement>('button')[31 - to]?.focus();
      }}
    >
      {BYTES.map((byte) => (
        <div key={byte[0]} class="byte" role="presentation">
          {byte.map((bit) => (
            <Bit key={bit} bit={bit} {...props} />
          ))}
        </div>
      ))}
    </div>
  );
}

function Bit({ bit, value, other, fields, at, setAt }: BitRowProps & { readonly bit: number }) {
  const on = (value >>> bit) & 1;
  const differs = other !== undefined && ((other >>> bit) & 1) !== on;
  const field = fieldAt(fields, bit);
  const among = field !== undefined && field === fieldAt(fields, at);
  const classes = ['bit', on && 'on', differs && 'differs', among && 'among'];
  return (
    <button
      type="button"
      role="radio"
      aria-checked={bit === at}
      aria-label={`bit ${bit}: ${on}${field ? `, ${field.name}` : ''}${differs ? ', differs' : ''}`}
      tabIndex={bit === at ? 0 : -1}
      class={classes.filter(Boolean).join(' ')}
      onClick={() => setAt(bit)}
      onFocus={() => setAt(bit)}
      onMouseEnter={() => setAt(bit)}
    >
      {on}
      <small aria-hidden="true">{bit}</small>
    </button>
  );
}

function Words(props: BitsProps & { readonly field: Field | undefined; readonly at: number }) {
  const { selection, draft, other, compare, field, at } = props;
  const { row, register } = selection;
  const theirs = other?.[register];
  return (
    <div class="words" aria-live="polite">
      {field ? (
        <>
          <p>
            <strong>{rangeOf(field)}</strong>: {field.name}
          </p>
          {field.words !== '' && (
            <blockquote>
              <p>{field.words}</p>
              <footer>draft {draft}</footer>
            </blockquote>
          )}
        </>
      ) : (
        <p>
          <strong>bit {at}</strong>: CommonHV says nothing of it.
        </p>
      )}
      {theirs !== undefined && theirs !== row[register] && (
        <p class="differs-note">
          Under draft {compare} the same settings give <code>{hex8(theirs)}H</code>:{' '}
          {fieldAt(fieldsOf(compare as Draft, row.leaf, row.subleaf, register), at)?.name ??
            'nothing is said of it there'}
          .
        </p>
      )}
    </div>
  );
}

function rangeOf({ first, last }: Field): string {
  return first === last ? `bit ${first}` : `bits ${first} to ${last}`;
}
