/** Conformance: the suite against the machine that runs, each failure with the sentence that it breaks. */
import type { Outcome, Report, Result } from 'commonhv/conformance';
import { sentenceLink } from '../../model/sentence.ts';
import { notFound } from '../../state/results.ts';
import type { Session } from '../../state/session.ts';
import { showResult } from '../results.tsx';
import { Section } from '../section.tsx';

const ORDER: readonly Outcome[] = ['failed', 'warned', 'passed', 'skipped'];

export function ConformanceView({ machine }: { machine: Session | undefined }) {
  const report = machine?.verified.value?.report;
  return (
    <Section
      id="conformance"
      title="Conformance"
      lead={<Lead machine={machine} />}
      aside={
        <div class="toolbar">
          <button
            type="button"
            class="main"
            disabled={!machine?.askable}
            onClick={() => void machine?.verify().then(() => showResult('conformance'))}
          >
            Verify this machine
          </button>
        </div>
      }
    >
      {report &&
        ORDER.map((outcome) => (
          <Group
            key={outcome}
            outcome={outcome}
            rules={report.rules.filter((rule) => rule.outcome === outcome)}
            report={report}
          />
        ))}
    </Section>
  );
}

function Lead({ machine }: { machine: Session | undefined }) {
  const verified = machine?.verified.value;
  if (machine === undefined || verified === undefined)
    return <>The suite asks this machine’s guest, as it would ask any other.</>;
  const missed = notFound(machine);
  return (
    <>
      <ResultLine report={verified.report} missed={missed} />{' '}
      {verified.by === 'hypervisor' && directly(machine)}
    </>
  );
}

function directly({ probe, hasMachine }: Session): string {
  if (!hasMachine) return 'The hypervisor was asked directly: the model has no guest.';
  return probe
    ? 'The hypervisor was asked directly, beside the machine; the button asks through the guest, and copies it.'
    : 'The hypervisor was asked directly: a system of your own cannot be asked.';
}

/** `missed`: a rule that the hypervisor breaks on purpose, and that was not found. */
function ResultLine({ report, missed }: { report: Report; missed: string | undefined }) {
  const { passed, failed, warned, skipped } = report;
  const conforms = report.present && failed === 0;
  const amber = !report.present || missed !== undefined || warned > 0;
  const standing = report.present && failed > 0 ? 'ill' : amber ? 'warned' : 'well';
  return (
    <span role="status">
      <strong class={standing}>
        {conforms ? 'Conforms' : 'Does not conform'}
        {report.present ? ` to draft ${report.draft ?? report.rulesOf}` : ': no CommonHV is found'}
      </strong>
      : {passed} passed, {failed} failed, {warned} warned, {skipped} skipped.
      {missed !== undefined && (
        <>
          {' '}
          This hypervisor breaks <code>{missed}</code>, and this check did not find it.
        </>
      )}
    </span>
  );
}

const TITLES: Record<Outcome, string> = {
  failed: 'Failed',
  warned: 'Warned',
  passed: 'Passed',
  skipped: 'Skipped',
};

function Group({ outcome, rules, report }: { outcome: Outcome; rules: readonly Result[]; report: Report }) {
  if (rules.length === 0) return null;
  return (
    <details class={`rules ${outcome}`} open={outcome === 'failed' || outcome === 'warned'}>
      <summary>
        {TITLES[outcome]} ({rules.length})
      </summary>
      <ul>
        {rules.map((rule) => (
          <li key={rule.id}>
            <RuleView rule={rule} draft={report.rulesOf} />
          </li>
        ))}
      </ul>
    </details>
  );
}

export function RuleView({ rule, draft }: { rule: Result; draft: number }) {
  return (
    <>
      <p class="rule">
        <code>{rule.id}</code> <span class="level">{rule.level}</span>
      </p>
      {rule.detail !== undefined && <p class="detail">{rule.detail}</p>}
      <blockquote>
        <p>{rule.text}</p>
      </blockquote>
      {rule.level !== 'advisory' && (
        <a href={sentenceLink(draft, rule.text)} target="_blank" rel="noreferrer">
          the sentence in draft {draft}
          <span class="unseen">: {rule.id}, opens in a new tab</span>
        </a>
      )}
    </>
  );
}
