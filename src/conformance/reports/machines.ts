/** Reports for programs: JSON, KTAP version 1, JUnit XML. */

import { attributes, escaped } from '../../markup.ts';
import { SECTIONS, sectionOf } from '../rule.ts';
import type { Report, Result } from '../verify.ts';
import { type About, deterministicLine, isBad, plain, resultLine, scopeLine } from './about.ts';

/** The JSON of `verify`; a `detail` or a `draft` that is absent is null. `deterministic` is there only where it is so. */
export function jsonReport(report: Report, { engine, deterministic }: About): object {
  const { draft, later, processors, controls, notChecked, passed, failed, warned, skipped, rules } = report;
  return {
    engine,
    draft: draft ?? null,
    processors,
    controls,
    notChecked,
    passed,
    failed,
    warned,
    skipped,
    rules: rules.map(({ id, level, text, outcome, detail }) => ({
      id,
      level,
      text,
      outcome,
      detail: detail ?? null,
    })),
    ...(later !== undefined && { later }),
    ...(deterministic !== undefined && { deterministic }),
  };
}

/** KTAP version 1 (linux/Documentation/dev-tools/ktap.rst): a warning is an `ok` with its diagnosis before it. */
export function ktapReport(report: Report, about: About): string {
  const lines = [
    'KTAP version 1',
    `1..${report.rules.length}`,
    `# ${plain(about.engine)} ${resultLine(report)}`,
    `# ${scopeLine(report)}`,
  ];
  if (about.deterministic !== undefined) lines.push(`# ${deterministicLine(about.deterministic)}`);
  for (const [i, result] of report.rules.entries()) {
    const { id, level, text, outcome } = result;
    const detail = plain(result.detail ?? '');
    if (isBad(result)) lines.push(`# ${id}: ${outcome}, ${level} "${text}"`, `# ${id}: ${detail}`);
    const directive = outcome === 'skipped' ? ` # SKIP ${detail.replaceAll('#', '')}` : '';
    lines.push(`${outcome === 'failed' ? 'not ok' : 'ok'} ${i + 1} ${id}${directive}`);
  }
  const { passed, failed, warned, skipped } = report;
  lines.push(`# Totals: pass:${passed + warned} fail:${failed} xfail:0 xpass:0 skip:${skipped} error:0`);
  return `${lines.join('\n')}\n`;
}

/** JUnit XML as Jenkins reads it (its junit-4 schema): one suite a section, a failure's text is its detail. */
export function junitReport(report: Report, about: About): string {
  const sections = new Map<string, Result[]>();
  for (const result of report.rules) {
    const title = SECTIONS[sectionOf(result)][report.rulesOf] ?? sectionOf(result);
    sections.set(title, [...(sections.get(title) ?? []), result]);
  }
  const seconds = (about.milliseconds ?? 0) / 1000;
  const lines = ['<?xml version="1.0" encoding="UTF-8"?>'];
  lines.push(
    `<testsuites${attributes({ name: 'commonhv verify', tests: report.rules.length, failures: report.failed, time: seconds })}>`,
  );
  for (const [title, results] of sections) lines.push(...suite(title, results, report, about));
  lines.push('</testsuites>');
  return `${lines.join('\n')}\n`;
}

function suite(title: string, results: readonly Result[], report: Report, about: About): readonly string[] {
  const count = (outcome: string): number => results.filter((result) => result.outcome === outcome).length;
  const properties = {
    engine: plain(about.engine),
    draft: report.draft === undefined ? 'none' : String(report.draft),
    result: resultLine(report),
    scope: scopeLine(report),
    ...(about.deterministic !== undefined && { deterministic: plain(about.deterministic) }),
  };
  return [
    `  <testsuite${attributes({ name: title, tests: results.length, failures: count('failed'), errors: 0, skipped: count('skipped') })}>`,
    '    <properties>',
    ...Object.entries(properties).map(([name, value]) => `      <property${attributes({ name, value })}/>`),
    '    </properties>',
    ...results.flatMap(testcase),
    '  </testsuite>',
  ];
}

function testcase({ id, level, text, outcome, detail }: Result): readonly string[] {
  const seen = escaped(plain(detail ?? ''));
  const open = `    <testcase${attributes({ classname: `commonhv.${id.slice(0, id.indexOf('.'))}`, name: id })}`;
  if (outcome === 'passed') return [`${open}/>`];
  const quoted = `${level} "${text}"`;
  const inner = {
    failed: `<failure${attributes({ type: level, message: quoted })}>${seen}</failure>`,
    skipped: `<skipped>${seen}</skipped>`,
    warned: `<system-out>${escaped(`warned: ${quoted}`)} ${seen}</system-out>`,
  }[outcome];
  return [`${open}>`, `      ${inner}`, '    </testcase>'];
}
