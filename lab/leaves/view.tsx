/** The guest's view: its leaves as a table, and one register of it bit by bit. */
import type { Regs } from 'commonhv';
import type { Draft } from 'commonhv/spec';
import { formatSignature } from 'commonhv/spec';
import { useEffect, useState } from 'preact/hooks';
import { change, settings } from '../lab.ts';
import type { Session } from '../machine/session.ts';
import { Section } from '../section.tsx';
import { Select } from '../settings/fields.tsx';
import { BitsView } from './bits.tsx';
import { under } from './compare.ts';
import type { Row } from './row.ts';
import { callName, hex8, leafName, registerName, textOf } from './text.ts';
import { REGISTERS, type Register, titleOf } from './words.ts';

export interface Chosen {
  readonly row: Row;
  readonly register: Register;
}

export function LeavesView({ machine }: { machine: Session | undefined }) {
  const rows = machine?.rows.value ?? [];
  const compare = settings.value.compare;
  const [pinned, setPinned] = useState<Chosen>();
  const [hovered, hover] = useState<Chosen>();
  const pin = (chosen: Chosen | undefined) => {
    setPinned(chosen);
    hover(undefined);
  };
  useEffect(() => pin(undefined), [machine]);
  const draft = machine?.settings.draft ?? 3;
  const other =
    machine && compare !== 0 && compare !== draft ? under(compare, machine.settings, rows) : undefined;
  const answer = typeof other === 'function' ? other : undefined;
  const kept = pinned ?? first(rows);
  const at = hovered ?? kept;
  const busy =
    machine === undefined || !machine.probe || machine.busy.value !== '' || machine.state.value !== 'running';
  return (
    <Section
      id="leaves"
      title="Leaves"
      lead={<Summary machine={machine} />}
      aside={
        <div class="toolbar">
          <Select
            label="Compare with"
            value={String(compare)}
            options={[
              ['0', 'nothing'],
              ...([1, 2, 3] as const).map((n) => [String(n), `draft ${n}`] as const),
            ]}
            onChange={(value) => change({ compare: Number(value) as Draft | 0 })}
          />
          <button type="button" disabled={busy} onClick={() => machine?.look()}>
            Look again
          </button>
          <button type="button" disabled={busy} onClick={() => machine?.lookAll()}>
            All leaves
          </button>
        </div>
      }
    >
      {typeof other === 'string' && (
        <p class="notice">
          Draft {compare} cannot say what these settings ask for: {other}.
        </p>
      )}
      {answer && (
        <p class="hint">Marked is what draft {compare} says otherwise, its value below the machine’s.</p>
      )}
      {compare === draft && <p class="hint">The machine is of draft {draft} itself: nothing differs.</p>}
      {/* The bits stay in view beside the table, and never cover its first columns. */}
      <div>
        {rows.length > 0 && (
          // On the way to the bits the pointer crosses other registers: the selection is restored when it leaves.
          <table class="leaves" role="table" onMouseLeave={() => hover(undefined)}>
            <caption class="unseen">The leaves that the guest read, each register in hexadecimal</caption>
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
                  draft={draft}
                  other={answer?.(row)}
                  compare={compare}
                  pinned={registerIn(row, kept)}
                  shown={registerIn(row, at)}
                  pin={pin}
                  hover={hover}
                />
              ))}
            </tbody>
          </table>
        )}
        {at && <BitsView chosen={at} draft={draft} other={answer?.(at.row)} compare={compare} />}
      </div>
    </Section>
  );
}

function LeafRow(props: {
  row: Row;
  draft: Draft;
  other: Regs | undefined;
  compare: number;
  pinned: Register | undefined;
  shown: Register | undefined;
  pin(chosen: Chosen): void;
  hover(chosen: Chosen): void;
}) {
  const { row, draft, other } = props;
  const title = titleOf(draft, row.leaf, row.subleaf);
  return (
    <tr role="row">
      <th role="rowheader" scope="row">
        <code>{callName(row.leaf, row.subleaf)}</code>
        {title !== '' && <small>{title}</small>}
      </th>
      {REGISTERS.map((register) => {
        const value = row[register];
        const text = textOf(value);
        const differs = other !== undefined && other[register] !== value;
        const pin = () => props.pin({ row, register });
        return (
          <td key={register} role="cell" data-register={register.toUpperCase()}>
            <button
              type="button"
              class={`register${differs ? ' differs' : ''}${value === 0 ? ' zero' : ''}${
                props.shown === register ? ' shown' : ''
              }`}
              aria-pressed={props.pinned === register}
              data-name={registerName(row.leaf, row.subleaf, register)}
              onClick={pin}
              onFocus={pin}
              onMouseEnter={() => props.hover({ row, register })}
            >
              <span class="unseen">{registerName(row.leaf, row.subleaf, register)}: </span>
              <code>{hex8(value)}</code>
              {text !== undefined && <small class="text">{text}</small>}
              {differs && (
                <small class="other">
                  <span class="unseen">, draft {props.compare}: </span>
                  {hex8(other[register])}
                </small>
              )}
            </button>
          </td>
        );
      })}
    </tr>
  );
}

function Summary({ machine }: { machine: Session | undefined }) {
  if (machine === undefined) return <>Nothing runs.</>;
  if (!machine.probe) return <>A system of your own cannot be asked; the timeline shows what it asks.</>;
  const seen = machine.seen.value;
  if (seen === undefined) return <>The guest has not looked yet.</>;
  const { commonhv, hypervisorBit, interfaces, cost } = seen.detection;
  const bit = `The hypervisor bit is ${hypervisorBit ? 'set' : 'clear'}`;
  if (commonhv === undefined) {
    return (
      <>
        The guest finds no CommonHV. {bit}; the scan found {interfaces.length} interface
        {interfaces.length === 1 ? '' : 's'} with {cost.cpuid} CPUIDs.
      </>
    );
  }
  const { rng, generation, preferred } = commonhv;
  return (
    <>
      The guest finds{' '}
      <strong>{commonhv.draft === undefined ? 'an empty CommonHV' : `draft ${commonhv.draft}`}</strong> with{' '}
      {cost.cpuid} CPUIDs. {bit}.{' '}
      {interfaces.length === 0
        ? 'No interface is listed.'
        : interfaces.map(({ signature, product, location, confirmed }, i) => (
            <span key={i}>
              {product ?? formatSignature(signature)} at {leafName(location)}
              {confirmed ? '' : ' (not confirmed)'}
              {preferred === i + 1 ? ' (preferred)' : ''}
              {i < interfaces.length - 1 ? ', ' : '. '}
            </span>
          ))}
      {rng
        ? `RNG at MSR ${leafName(rng.msr)}, ${
            rng.secure === undefined
              ? 'of no stated quality'
              : rng.secure
                ? 'said to be secure'
                : 'said not to be secure'
          }. `
        : 'No RNG. '}
      {generation && `Generation at MSR ${leafName(generation.msr)}.`}
    </>
  );
}

function registerIn({ leaf, subleaf }: Row, chosen: Chosen | undefined): Register | undefined {
  return chosen?.row.leaf === leaf && chosen.row.subleaf === subleaf ? chosen.register : undefined;
}

/** The first selection: the first register of CommonHV's own. */
function first(rows: readonly Row[]): Chosen | undefined {
  const row = rows.find(({ leaf }) => leaf === 0x4f00_0002) ?? rows[0];
  return row && { row, register: 'eax' };
}
