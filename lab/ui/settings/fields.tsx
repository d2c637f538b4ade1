/** The form's fields: each a label and one native control. */
import type { ComponentChildren } from 'preact';
import { useId, useLayoutEffect, useState } from 'preact/hooks';
import { parseHex32 } from '../../model/settings.ts';

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

/**
 * A text that stands for a value. A text that stands for none stays as it was typed, with the reason beneath; the last
 * good value counts meanwhile.
 */
export function ParsedField<T>(props: {
  label: ComponentChildren;
  value: T;
  /** The value's own text. */
  format(value: T): string;
  /** The value of a text, or the reason why it has none. */
  parse(text: string): { readonly value: T } | string;
  onChange(value: T): void;
  class?: string;
  list?: string;
}) {
  const { value, format, parse } = props;
  const [text, setText] = useState<string>();
  const id = useId();
  const normal = format(value);
  // A value that came from elsewhere, as by the address, replaces a text that was given up.
  useLayoutEffect(() => setText(undefined), [normal]);
  const parsed = text === undefined ? undefined : parse(text);
  const wrong = typeof parsed === 'string' ? parsed : undefined;
  return (
    <div class="field">
      <label for={id}>{props.label}</label>
      <input
        id={id}
        class={props.class}
        type="text"
        spellcheck={false}
        autocomplete="off"
        list={props.list}
        value={text ?? normal}
        aria-invalid={wrong !== undefined}
        aria-describedby={wrong === undefined ? undefined : `${id}-wrong`}
        onInput={(event) => {
          const typed = event.currentTarget.value;
          const next = parse(typed);
          setText(typed);
          if (typeof next !== 'string') props.onChange(next.value);
        }}
        onBlur={() => {
          if (wrong === undefined) setText(undefined);
        }}
      />
      {wrong !== undefined && (
        <small id={`${id}-wrong`} class="wrong">
          {wrong}; <span class="whole">{normal}</span> counts
        </small>
      )}
    </div>
  );
}

/** Up to eight hex digits. */
export function HexField(props: { label: string; value: number; onChange(value: number): void }) {
  return (
    <ParsedField
      {...props}
      class="hex"
      format={(value) => value.toString(16)}
      parse={(text) => {
        const value = parseHex32(text);
        return value === undefined ? 'expected up to 8 hex digits' : { value };
      }}
    />
  );
}

export function NumberField(props: {
  label: string;
  value: number;
  min: number;
  max: number;
  onChange(value: number): void;
}) {
  const { min, max } = props;
  return (
    <ParsedField
      {...props}
      format={String}
      parse={(text) => {
        const value = /^\s*\d{1,6}\s*$/.test(text) ? Number(text) : Number.NaN;
        return value >= min && value <= max ? { value } : `expected ${min} to ${max}`;
      }}
    />
  );
}
