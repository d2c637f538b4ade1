/** Conformance: the suite against the machine that runs, each failure with the sentence that it breaks. */
import type { Outcome, Report, Result } from 'commonhv/conformance';
import type { Session } from '../machine/session.ts';
import { Section } from '../section.tsx';
import { sentenceLink } from './sentence.ts';

const ORDER: readonly Outcome[] = ['failed', 'warned', 'passed', 'skipped'];

export function ConformanceView({ machine }: { machine: Session | undefined }) {
  const report = machine?.report.value;
  const busy =
    machine === undefined || !machine.probe || machine.busy.value !== '' || machine.state.value !== 'running';
  return (
    <Section
      id="conformance"
      title="Conformance"
      lead={
        report ? (
          <Verdict report={report} />
        ) : machine && !machine.probe ? (
          'A system of your own cannot be asked: the suite judges the probe’s machine.'
        ) : (
          'The suite asks this machine’s guest, as it would ask any other.'
        )
      }
      aside={
        <div class="toolbar">
          <button type="button" class="main" disabled={busy} onClick={() => machine?.verify()}>
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

function Verdict({ report }: { report: Report }) {
  const { passed, failed, warned, skipped } = report;
  return (
    <span role="status">
      <strong class={failed > 0 ? 'ill' : 'well'}>
        {failed > 0 ? 'Does not conform' : 'Conforms'}
        {report.present ? ` to draft ${report.draft ?? report.rulesOf}` : ': no CommonHV is found'}
      </strong>
      : {passed} passed, {failed} failed, {warned} warned, {skipped} skipped.
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
            <p class="rule">
              <code>{rule.id}</code> <span class="level">{rule.level}</span>
            </p>
            {rule.detail !== undefined && <p class="detail">{rule.detail}</p>}
            <blockquote>
              <p>{rule.text}</p>
            </blockquote>
            {rule.level !== 'advisory' && (
              <a href={sentenceLink(report.rulesOf, rule.text)} target="_blank" rel="noreferrer">
                the sentence in draft {report.rulesOf}
                <span class="unseen">: {rule.id}, opens in a new tab</span>
              </a>
            )}
          </li>
        ))}
      </ul>
    </details>
  );
}
