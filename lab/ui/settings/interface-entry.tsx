/** One interface of the form's list. */
import { formatSignature, parseSignature, productOf, type Tuple } from 'commonhv/spec';
import { HexField, ParsedField } from './fields.tsx';

interface EntryProps {
  readonly tuple: Tuple;
  readonly at: number;
  readonly last: number;
  readonly preferred: boolean | undefined;
  /** And the focus to the first of the selectors that is there. */
  onMove(by: number, ...selectors: readonly string[]): void;
  onRemove(): void;
  onChange(part: Partial<Tuple>): void;
  onPrefer(on: boolean): void;
  onDrag(on: boolean): void;
}

export function InterfaceEntry(props: EntryProps) {
  const { tuple, at } = props;
  const name = formatSignature(tuple.signature);
  return (
    <>
      <div class="entry-row">
        <Handle name={name} {...props} />
        <ParsedField
          label={<span class="unseen">Signature {at + 1}</span>}
          class="signature"
          list="signatures"
          value={tuple.signature}
          format={formatSignature}
          parse={parsed}
          onChange={(signature) => props.onChange({ signature })}
        />
        <button type="button" class="icon remove" aria-label={`Remove ${name}`} onClick={props.onRemove}>
          <span aria-hidden="true">×</span>
        </button>
      </div>
      {/* A field cuts a long text off without a sign. */}
      {name.length > LONG && <code class="whole">{name}</code>}
      <div class="entry-row">
        <HexField
          label="at leaf"
          value={tuple.location}
          onChange={(location) => props.onChange({ location })}
        />
        {props.preferred !== undefined && (
          <label class="check">
            <input
              type="checkbox"
              checked={props.preferred}
              onChange={(event) => props.onPrefer(event.currentTarget.checked)}
            />
            <span>
              preferred<span class="unseen">: {name}</span>
            </span>
          </label>
        )}
      </div>
      <div class="entry-row">
        <small class="hint">{productOf(tuple.signature) ?? 'a signature that no known product has'}</small>
        {props.last > 0 && <Movers name={name} {...props} />}
      </div>
    </>
  );
}

/** Characters that the narrowest field shows. */
const LONG = 16;

function parsed(text: string): { readonly value: string } | string {
  try {
    return { value: parseSignature(text) };
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

function Handle({ name, onDrag, onMove }: EntryProps & { readonly name: string }) {
  return (
    <button
      type="button"
      class="handle"
      draggable
      aria-label={`Move ${name}: drag, or press the up and down keys`}
      title="Drag, or press ↑ and ↓"
      onDragStart={(event) => {
        event.dataTransfer?.setData('text/plain', name);
        onDrag(true);
      }}
      onDragEnd={() => onDrag(false)}
      onKeyDown={(event) => {
        const by = { ArrowUp: -1, ArrowDown: 1 }[event.key];
        if (by === undefined) return;
        event.preventDefault();
        onMove(by, '.handle');
      }}
    >
      <span aria-hidden="true">⠿</span>
    </button>
  );
}

function Movers({ name, at, last, onMove }: EntryProps & { readonly name: string }) {
  return (
    <>
      <button
        type="button"
        class="icon up"
        aria-label={`Move ${name} up`}
        disabled={at === 0}
        onClick={() => onMove(-1, '.up:not(:disabled)', '.down')}
      >
        <span aria-hidden="true">↑</span>
      </button>
      <button
        type="button"
        class="icon down"
        aria-label={`Move ${name} down`}
        disabled={at === last}
        onClick={() => onMove(1, '.down:not(:disabled)', '.up')}
      >
        <span aria-hidden="true">↓</span>
      </button>
    </>
  );
}
