/** One register bit by bit, with the words of the draft for each. */
import type { Regs } from 'commonhv';
import type { Draft } from 'commonhv/spec';
import { useEffect, useState } from 'preact/hooks';
import { hex8, registerName } from './text.ts';
import type { Chosen } from './view.tsx';
import { type Field, fieldsOf } from './words.ts';

const BYTES = [24, 16, 8, 0].map((first) => Array.from({ length: 8 }, (_, i) => first + 7 - i));

export function BitsView(props: { chosen: Chosen; draft: Draft; other: Regs | undefined; compare: number }) {
  const { row, register } = props.chosen;
  const fields = fieldsOf(props.draft, row.leaf, row.subleaf, register);
  const [at, setAt] = useState(0);
  const name = registerName(row.leaf, row.subleaf, register);
  useEffect(() => setAt(Math.max(0, fields.find(({ name }) => name !== 'reserved')?.first ?? 0)), [name]);
  const value = row[register];
  const other = props.other?.[register];
  const field = fields.find(({ first, last }) => at >= first && at <= last);
  return (
    <div class="bits">
      <h3>
        {name} = <code>{hex8(value)}H</code>
      </h3>
      <div
        class="bit-row"
        role="radiogroup"
        aria-label={`Bits of ${name}, 31 to 0`}
        onKeyDown={(event) => {
          const to = {
            ArrowLeft: at + 1,
            ArrowRight: at - 1,
            ArrowUp: at + 8,
            ArrowDown: at - 8,
            Home: 31,
            End: 0,
          }[event.key];
          if (to === undefined || to < 0 || to > 31) return;
          event.preventDefault();
          setAt(to);
          event.currentTarget.querySelectorAll<HTMLElement>('button')[31 - to]?.focus();
        }}
      >
        {BYTES.map((byte) => (
          <div key={byte[0]} class="byte" role="presentation">
            {byte.map((bit) => {
              const on = (value >>> bit) & 1;
              const differs = other !== undefined && ((other >>> bit) & 1) !== on;
              const named = fields.find(({ first, last }) => bit >= first && bit <= last);
              return (
                <button
                  key={bit}
                  type="button"
                  role="radio"
                  aria-checked={bit === at}
                  aria-label={`bit ${bit}: ${on}${named ? `, ${named.name}` : ''}${differs ? ', differs' : ''}`}
                  tabIndex={bit === at ? 0 : -1}
                  class={`bit${on ? ' on' : ''}${differs ? ' differs' : ''}${named && field === named ? ' among' : ''}`}
                  onClick={() => setAt(bit)}
                  onFocus={() => setAt(bit)}
                  onMouseEnter={() => setAt(bit)}
                >
                  {on}
                  <small aria-hidden="true">{bit}</small>
                </button>
              );
            })}
          </div>
        ))}
      </div>
      <div class="words" aria-live="polite">
        {field ? (
          <>
            <p>
              <strong>{rangeOf(field)}</strong>: {field.name}
            </p>
            {field.words !== '' && (
              <blockquote>
                <p>{field.words}</p>
                <footer>draft {props.draft}</footer>
              </blockquote>
            )}
          </>
        ) : (
          <p>
            <strong>bit {at}</strong>: CommonHV says nothing of it.
          </p>
        )}
        {other !== undefined && other !== value && (
          <p class="differs-note">
            Under draft {props.compare} the same settings give <code>{hex8(other)}H</code>:{' '}
            {fieldsOf(props.compare as Draft, row.leaf, row.subleaf, register)
              .filter(({ first, last }) => at >= first && at <= last)
              .map(({ name }) => name)
              .join() || 'nothing is said of it there'}
            .
          </p>
        )}
      </div>
    </div>
  );
}

function rangeOf({ first, last }: Field): string {
  return first === last ? `bit ${first}` : `bits ${first} to ${last}`;
}
