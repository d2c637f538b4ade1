/** The interfaces that the hypervisor advertises, in its order: moved by drag, by buttons, or by the arrow keys. */
import { formatSignature, KNOWN, type Tuple } from 'commonhv/spec';
import { useLayoutEffect, useRef, useState } from 'preact/hooks';
import { InterfaceList, MAX_INTERFACES } from '../../model/interface-list.ts';
import { change, settings } from '../../state/lab.ts';
import { InterfaceEntry } from './interface-entry.tsx';

export function InterfacesView() {
  const { interfaces, preferred, draft } = settings.value;
  const list = new InterfaceList(interfaces, preferred);
  const [said, setSaid] = useState('');
  const fieldset = useRef<HTMLFieldSetElement>(null);

  const put = (next: InterfaceList) => change({ interfaces: next.interfaces, preferred: next.preferred });
  const move = (from: number, to: number) => {
    if (to < 0 || to >= interfaces.length || from === to) return;
    put(list.move(from, to));
    setSaid(`${formatSignature(interfaces[from]!.signature)} is now ${to + 1} of ${interfaces.length}`);
  };
  // Once the list is drawn anew, and before the next key is taken.
  const [wanted, want] = useState<Place>();
  useLayoutEffect(() => wanted && focusIn(fieldset.current, wanted), [wanted]);
  const focus = (at: number, ...selectors: readonly string[]) => want({ at, selectors });
  return (
    <fieldset ref={fieldset}>
      <legend>Interfaces, in order</legend>
      <Entries list={list} listPreferred={draft === 3} put={put} move={move} focus={focus} />
      {interfaces.length === 0 && <p class="hint">None: the list is empty.</p>}
      <button
        type="button"
        class="add"
        disabled={interfaces.length >= MAX_INTERFACES}
        onClick={() => put(list.add())}
      >
        Add an interface
      </button>
      <Signatures />
      <p role="status" class="unseen">
        {said}
      </p>
    </fieldset>
  );
}

interface EntriesProps {
  readonly list: InterfaceList;
  /** Whether the draft has a preferred interface. */
  readonly listPreferred: boolean;
  put(next: InterfaceList): void;
  move(from: number, to: number): void;
  focus(at: number, ...selectors: readonly string[]): void;
}

function Entries({ list, listPreferred, put, move, focus }: EntriesProps) {
  const [dragged, setDragged] = useState<number>();
  const { interfaces, preferred } = list;
  const last = interfaces.length - 1;
  const entry = (tuple: Tuple, i: number) => (
    <InterfaceEntry
      tuple={tuple}
      at={i}
      last={last}
      preferred={listPreferred ? preferred === i + 1 : undefined}
      onMove={(by, ...selectors) => {
        move(i, i + by);
        focus(Math.min(last, Math.max(0, i + by)), ...selectors);
      }}
      onRemove={() => {
        put(list.remove(i));
        focus(Math.min(i, last - 1), '.remove');
      }}
      onChange={(part) => put(list.replace(i, part))}
      onPrefer={(on) => put(new InterfaceList(interfaces, on ? i + 1 : 0))}
      onDrag={(on) => setDragged(on ? i : undefined)}
    />
  );
  return (
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
          {entry(tuple, i)}
        </li>
      ))}
    </ol>
  );
}

/** An entry of the list, and the controls in it that may take the focus, the best first. */
interface Place {
  readonly at: number;
  readonly selectors: readonly string[];
}

/** The focus goes where an entry went, or to the nearest one left. */
function focusIn(fieldset: HTMLElement | null, { at, selectors }: Place): void {
  const entry = fieldset?.querySelectorAll('.interfaces li')[at];
  const controls = selectors.map((selector) => entry?.querySelector<HTMLElement>(selector));
  (controls.find((control) => control) ?? fieldset?.querySelector<HTMLElement>('.add'))?.focus();
}

function Signatures() {
  return (
    <datalist id="signatures">
      {KNOWN.map(({ signature, product }) => (
        <option key={signature} value={formatSignature(signature)}>
          {product}
        </option>
      ))}
    </datalist>
  );
}
