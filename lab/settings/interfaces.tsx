/** The interfaces that the hypervisor advertises, in its order: moved by drag, by buttons, or by the arrow keys. */
import { formatSignature, KNOWN, parseSignature, productOf, type Tuple } from 'commonhv/spec';
import { useRef, useState } from 'preact/hooks';
import { change, settings } from '../lab.ts';
import { HexField } from './fields.tsx';
import { MAX_INTERFACES } from './settings.ts';

export function InterfacesView() {
  const { interfaces, preferred, draft } = settings.value;
  const [dragged, setDragged] = useState<number>();
  const [said, setSaid] = useState('');

  const put = (next: readonly Tuple[], liked: number) => change({ interfaces: next, preferred: liked });
  const move = (from: number, to: number) => {
    if (to < 0 || to >= interfaces.length || from === to) return;
    const order = interfaces.map((_, i) => i);
    order.splice(to, 0, ...order.splice(from, 1));
    put(
      order.map((i) => interfaces[i]!),
      preferred === 0 ? 0 : order.indexOf(preferred - 1) + 1,
    );
    setSaid(`${formatSignature(interfaces[from]!.signature)} is now ${to + 1} of ${interfaces.length}`);
  };
  const fieldset = useRef<HTMLFieldSetElement>(null);
  /** The list is redrawn first: the focus goes where an entry went, or to the nearest one left. */
  const focus = (at: number, ...selectors: readonly string[]) =>
    requestAnimationFrame(() => {
      const entry = fieldset.current?.querySelectorAll('.interfaces li')[at];
      const controls = selectors.map((selector) => entry?.querySelector<HTMLElement>(selector));
      (controls.find((control) => control) ?? fieldset.current?.querySelector<HTMLElement>('.add'))?.focus();
    });
  const remove = (at: number) => {
    const left = preferred - 1 === at ? 0 : preferred - 1 > at ? preferred - 1 : preferred;
    put(interfaces.toSpliced(at, 1), left);
    focus(Math.min(at, interfaces.length - 2), '.remove');
  };
  const replace = (at: number, part: Partial<Tuple>) =>
    put(interfaces.with(at, { ...interfaces[at]!, ...part }), preferred);

  return (
    <fieldset ref={fieldset}>
      <legend>Interfaces, in order</legend>
      <ol class="interfaces">
        {interfaces.map((tuple, i) => (
          <li
            key={i}
            class={dragged === i ? 'dragged' : undefined}
            onDragOver={(event) => {
              if (dragged !== undefined) event.preventDefault();
            }}
            onDrop={(event) => {
              event.preventDefault();
              if (dragged !== undefined) move(dragged, i);
              setDragged(undefined);
            }}
          >
            <Entry
              tuple={tuple}
              at={i}
              last={interfaces.length - 1}
              preferred={draft === 3 ? preferred === i + 1 : undefined}
              onMove={(by, ...selectors) => {
                move(i, i + by);
                focus(Math.min(interfaces.length - 1, Math.max(0, i + by)), ...selectors);
              }}
              onRemove={() => remove(i)}
              onChange={(part) => replace(i, part)}
              onPrefer={(on) => put(interfaces, on ? i + 1 : 0)}
              onDrag={(on) => setDragged(on ? i : undefined)}
            />
          </li>
        ))}
      </ol>
      {interfaces.length === 0 && <p class="hint">None: the list is empty.</p>}
      <button
        type="button"
        class="add"
        disabled={interfaces.length >= MAX_INTERFACES}
        onClick={() => put([...interfaces, another(interfaces)], preferred)}
      >
        Add an interface
      </button>
      <datalist id="signatures">
        {KNOWN.map(({ signature, product }) => (
          <option key={signature} value={formatSignature(signature)}>
            {product}
          </option>
        ))}
      </datalist>
      <p role="status" class="unseen">
        {said}
      </p>
    </fieldset>
  );
}

function Entry(props: {
  tuple: Tuple;
  at: number;
  last: number;
  preferred: boolean | undefined;
  /** And the focus to the first of the selectors that is there. */
  onMove(by: number, ...selectors: readonly string[]): void;
  onRemove(): void;
  onChange(part: Partial<Tuple>): void;
  onPrefer(on: boolean): void;
  onDrag(on: boolean): void;
}) {
  const { tuple, at, last } = props;
  const name = formatSignature(tuple.signature);
  const [text, setText] = useState<string>();
  return (
    <>
      <div class="entry-row">
        <button
          type="button"
          class="handle"
          draggable
          aria-label={`Move ${name}: drag, or press the up and down keys`}
          title="Drag, or press ↑ and ↓"
          onDragStart={(event) => {
            event.dataTransfer?.setData('text/plain', name);
            props.onDrag(true);
          }}
          onDragEnd={() => props.onDrag(false)}
          onKeyDown={(event) => {
            const by = { ArrowUp: -1, ArrowDown: 1 }[event.key];
            if (by === undefined) return;
            event.preventDefault();
            props.onMove(by, '.handle');
          }}
        >
          <span aria-hidden="true">⠿</span>
        </button>
        <input
          class="signature"
          aria-label={`Signature ${at + 1}`}
          list="signatures"
          spellcheck={false}
          autocomplete="off"
          maxLength={48}
          value={text ?? name}
          aria-invalid={text !== undefined && !isSignature(text)}
          onInput={(event) => {
            setText(event.currentTarget.value);
            if (isSignature(event.currentTarget.value)) {
              props.onChange({ signature: parseSignature(event.currentTarget.value) });
            }
          }}
          onBlur={() => setText(undefined)}
        />
        <button type="button" class="icon remove" aria-label={`Remove ${name}`} onClick={props.onRemove}>
          <span aria-hidden="true">×</span>
        </button>
      </div>
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
        {last > 0 && (
          <>
            <button
              type="button"
              class="icon up"
              aria-label={`Move ${name} up`}
              disabled={at === 0}
              onClick={() => props.onMove(-1, '.up:not(:disabled)', '.down')}
            >
              <span aria-hidden="true">↑</span>
            </button>
            <button
              type="button"
              class="icon down"
              aria-label={`Move ${name} down`}
              disabled={at === last}
              onClick={() => props.onMove(1, '.down:not(:disabled)', '.up')}
            >
              <span aria-hidden="true">↓</span>
            </button>
          </>
        )}
      </div>
    </>
  );
}

function isSignature(text: string): boolean {
  try {
    parseSignature(text);
    return true;
  } catch {
    return false;
  }
}

/** A known interface that is not in the list, where the next one would sit. */
function another(interfaces: readonly Tuple[]): Tuple {
  const known = KNOWN.find(({ signature }) => !interfaces.some((tuple) => tuple.signature === signature));
  const free = interfaces
    .map(({ location }) => location)
    .filter((at) => at >= 0x4000_0000 && at < 0x4000_ff00);
  return {
    signature: known?.signature ?? 'KVMKVMKVM\0\0\0',
    location: Math.max(0x3fff_ff00, ...free) + 0x100,
  };
}
