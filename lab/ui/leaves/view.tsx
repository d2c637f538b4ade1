/** The guest's view: its leaves as a table, and one register of it bit by bit. */
import type { Draft } from 'commonhv/spec';
import { useLayoutEffect, useState } from 'preact/hooks';
import { under } from '../../model/compare.ts';
import type { Row } from '../../model/row.ts';
import type { Selection } from '../../model/selection.ts';
import { change, settings } from '../../state/lab.ts';
import type { Session } from '../../state/session.ts';
import { Section } from '../section.tsx';
import { Select } from '../settings/fields.tsx';
import { BitsView } from './bits.tsx';
import { Summary } from './summary.tsx';
import { LeavesTable } from './table.tsx';

export function LeavesView({ machine }: { machine: Session | undefined }) {
  const rows = machine?.rows.value ?? [];
  const compare = settings.value.compare;
  const [pinned, setPinned] = useState<Selection>();
  const [hovered, hover] = useState<Selection>();
  const pin = (selection: Selection | undefined) => {
    setPinned(selection);
    hover(undefined);
  };
  useLayoutEffect(() => pin(undefined), [machine]);
  const draft = machine?.settings.draft ?? 3;
  const other =
    machine && compare !== 0 && compare !== draft ? under(compare, machine.settings, rows) : undefined;
  const answer = typeof other === 'function' ? other : undefined;
  const base = pinned ?? first(rows);
  const at = hovered ?? base;
  return (
    <Section
      id="leaves"
      title="Leaves"
      lead={<Summary machine={machine} />}
      aside={<LeavesBar machine={machine} />}
    >
      {compare !== 0 && <Comparison draft={draft} compare={compare} problem={other} />}
      {/* The bits stay in view beside the table, and never cover its first columns. */}
      <div>
        {rows.length > 0 && (
          <LeavesTable {...{ rows, draft, compare, answer, pin, hover }} pinned={base} shown={at} />
        )}
        {at && <BitsView selection={at} draft={draft} other={answer?.(at.row)} compare={compare} />}
      </div>
    </Section>
  );
}

function LeavesBar({ machine }: { machine: Session | undefined }) {
  return (
    <div class="toolbar">
      <Select
        label="Compare with"
        value={String(settings.value.compare)}
        options={[['0', 'nothing'], ...([1, 2, 3] as const).map((n) => [String(n), `draft ${n}`] as const)]}
        onChange={(value) => change({ compare: Number(value) as Draft | 0 })}
      />
      <button type="button" disabled={!machine?.askable} onClick={() => void machine?.look()}>
        Look again
      </button>
      <button type="button" disabled={!machine?.askable} onClick={() => void machine?.lookAll()}>
        All leaves
      </button>
    </div>
  );
}

function Comparison(props: { draft: Draft; compare: Draft; problem: unknown }) {
  const { draft, compare, problem } = props;
  if (typeof problem === 'string') {
    return (
      <p class="notice">
        Draft {compare} cannot say what these settings ask for: {problem}.
      </p>
    );
  }
  return (
    <p class="hint">
      {compare === draft
        ? `The machine is of draft ${draft} itself: nothing differs.`
        : `Marked is what draft ${compare} says otherwise, its value below the machine’s.`}
    </p>
  );
}

/** The first selection: the first register of CommonHV's own. */
function first(rows: readonly Row[]): Selection | undefined {
  const row = rows.find(({ leaf }) => leaf === 0x4f00_0002) ?? rows[0];
  return row && { row, register: 'eax' };
}
