/** Every rule of the draft as a square: the one that is broken, and its sentence. */
import type { Result } from 'commonhv/conformance';
import type { ComponentChildren } from 'preact';
import { player } from '../../state/stories.ts';
import { RuleView } from '../conformance/view.tsx';

const ORDER = { failed: 0, warned: 1, passed: 2, skipped: 3 } as const;

export function FaultFigure() {
  const machine = player.machines.value.first;
  const at = player.at.value;
  const report = at >= 1 ? machine?.verified.value?.report : undefined;
  const found = machine?.seen.value?.detection.commonhv;
  return (
    <>
      <ul class="findings">
        <Finding done={found !== undefined}>the guest finds draft {found?.draft ?? '…'}</Finding>
        <Finding done={(machine?.read.look.value.total ?? 0) > 0}>the random values pass every test</Finding>
        <Finding done={machine?.acknowledged.value !== undefined}>the generation is acknowledged</Finding>
      </ul>
      {report ? (
        <Rules rules={report.rules} />
      ) : (
        at >= 1 && <p class="hint">The suite asks through the guest, and restores and copies the machine …</p>
      )}
      {at >= 2 && report && <Broken rules={report.rules} draft={report.rulesOf} />}
    </>
  );
}

function Finding({ done, children }: { done: boolean; children: ComponentChildren }) {
  return (
    <li class={done ? 'well' : 'later'}>
      <span aria-hidden="true">{done ? '✓' : '…'}</span> {children}
    </li>
  );
}

function Rules({ rules }: { rules: readonly Result[] }) {
  const count = (wanted: Result['outcome']) => rules.filter(({ outcome }) => outcome === wanted).length;
  const sorted = rules.toSorted((a, b) => ORDER[a.outcome] - ORDER[b.outcome]);
  const text = `${count('failed')} failed, ${count('passed')} passed, ${count('skipped')} not asked`;
  return (
    <>
      <div class="squares" role="img" aria-label={text}>
        {sorted.map(({ id, outcome }) => (
          <i key={id} class={outcome} title={`${id}: ${outcome}`} />
        ))}
      </div>
      <p class={count('failed') > 0 ? 'verdict ill' : 'verdict well'} role="status">
        <strong>{count('failed') > 0 ? 'The fault is found.' : 'No fault is found.'}</strong> {text}.
      </p>
    </>
  );
}

function Broken({ rules, draft }: { rules: readonly Result[]; draft: number }) {
  const [first, ...rest] = rules.filter(({ outcome }) => outcome === 'failed');
  if (first === undefined) return null;
  return (
    <div class="broken">
      <RuleView rule={first} draft={draft} />
      {rest.length > 0 && (
        <p class="hint">
          It follows that {rest.map(({ id }) => id).join(', ')} {rest.length === 1 ? 'is' : 'are'} broken too.
        </p>
      )}
    </div>
  );
}
