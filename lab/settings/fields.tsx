/** The form's fields: each a label and one native control. */
import { useId, useState } from 'preact/hooks';
import { parseHex32 } from './settings.ts';

export function Check(props: { label: string; checked: boolean; onChange(checked: boolean): void }) {
  return (
    <label class="check">
      <input
        type="checkbox"
        checked={props.checked}
        onChange={(event) => props.onChange(event.currentTarget.checked)}
      />
      <span>{props.label}</span>
    </label>
  );
}

export function Choice(props: {
  legend: string;
  value: string;
  options: readonly (readonly [string, string])[];
  onChange(value: string): void;
  row?: boolean;
}) {
  const name = useId();
  return (
    <fieldset class={props.row ? 'choice row' : 'choice'}>
      <legend>{props.legend}</legend>
      {props.options.map(([value, title]) => (
        <label key={value} class="check">
          <input
            type="radio"
            name={name}
            value={value}
            checked={value === props.value}
            onChange={() => props.onChange(value)}
          />
          <span>{title}</span>
        </label>
      ))}
    </fieldset>
  );
}

export function Select(props: {
  label: string;
  value: string;
  options: readonly (readonly [string, string])[];
  onChange(value: string): void;
}) {
  return (
    <label class="field">
      <span>{props.label}</span>
      <select value={props.value} onChange={(event) => props.onChange(event.currentTarget.value)}>
        {props.options.map(([value, title]) => (
          <option key={value} value={value}>
            {title}
          </option>
        ))}
      </select>
    </label>
  );
}

/** Up to eight hex digits; an error is shown beside the field, and the last good value stays. */
export function HexField(props: { label: string; value: number; onChange(value: number): void }) {
  const [text, setText] = useState<string>();
  const id = useId();
  const wrong = text !== undefined && parseHex32(text) === undefined;
  return (
    <div class="field">
      <label for={id}>{props.label}</label>
      <input
        id={id}
        class="hex"
        type="text"
        spellcheck={false}
        autocomplete="off"
        maxLength={10}
        value={text ?? props.value.toString(16)}
        aria-invalid={wrong}
        aria-describedby={wrong ? `${id}-wrong` : undefined}
        onInput={(event) => {
          const typed = event.currentTarget.value;
          const value = parseHex32(typed);
          setText(typed);
          if (value !== undefined) props.onChange(value);
        }}
        onBlur={() => setText(undefined)}
      />
      {wrong && (
        <small id={`${id}-wrong`} class="wrong">
          up to 8 hex digits
        </small>
      )}
    </div>
  );
}

export function NumberField(props: {
  label: string;
  value: number;
  least: number;
  most: number;
  onChange(value: number): void;
}) {
  return (
    <label class="field">
      <span>{props.label}</span>
      <input
        type="number"
        min={props.least}
        max={props.most}
        value={props.value}
        onChange={(event) => {
          const value = Math.round(event.currentTarget.valueAsNumber);
          const bounded = Math.min(props.most, Math.max(props.least, value));
          props.onChange(Number.isNaN(value) ? props.value : bounded);
          event.currentTarget.value = String(Number.isNaN(value) ? props.value : bounded);
        }}
      />
    </label>
  );
}
