/** A comparison of copies for programs: JSON, and JUnit XML for CI. */
import { attributes, escaped } from '../markup.ts';
import type { Comparison, SourceResult } from './comparison.ts';
import { copyNumbers } from './comparison.ts';
import { milliseconds } from './text.ts';

/** JSON: copies are counted from 1; times are whole milliseconds; `differ` is null where the recordings cannot tell. */
export function jsonReport({ copies, sources, findings, differ, result }: Comparison): string {
  const report = {
    differ: differ ?? null,
    result,
    copies: copies.map((copy) => ({
      ...copy,
      milliseconds: Math.ceil(copy.milliseconds),
      interval: Math.ceil(copy.interval),
      clockStep: Math.round(copy.clockStep),
    })),
    sources: sources.map(({ name, kind, state, groups, samples, milliseconds, allowed, failed }) => ({
      name,
      kind,
      state,
      copies: groups.map((group) => group.map((i) => i + 1)),
      samples,
      milliseconds: Math.ceil(milliseconds),
      allowed: allowed === Infinity ? null : allowed,
      failed,
    })),
    findings,
  };
  return `${JSON.stringify(report, undefined, 2)}\n`;
}

/** JUnit XML (Jenkins' junit-4 schema): a test case for each source that is checked, one for the findings. */
export function junitReport({ sources, findings, differ, result }: Comparison): string {
  const checked = sources.filter(({ kind }) => kind === 'random' || kind === 'generation');
  const failures = checked.filter(({ failed }) => failed).length + (findings.length > 0 ? 1 : 0);
  const cannot = differ === undefined;
  const skipped = checked.filter(({ state }) => state === 'not compared').length;
  const counts = { tests: checked.length + 1, failures, errors: cannot ? 1 : 0, skipped };
  return [
    '<?xml version="1.0" encoding="UTF-8"?>',
    `<testsuites${attributes({ name: 'commonhv clones', tests: counts.tests, failures, errors: counts.errors })}>`,
    `  <testsuite${attributes({ name: 'copies of one saved machine', ...counts })}>`,
    ...checked.map(testCase),
    ...lastCase(findings, cannot ? result : undefined),
    '  </testsuite>',
    '</testsuites>',
    '',
  ].join('\n');
}

function testCase(source: SourceResult): string {
  const { name, state, failed, groups } = source;
  const open = `    <testcase${attributes({ classname: 'commonhv.clones', name: `${name} differs between copies` })}`;
  if (state === 'not compared')
    return `${open}><skipped${attributes({ message: 'not compared' })}/></testcase>`;
  if (!failed) return `${open}/>`;
  const seen = `${groups.map(copyNumbers).join('; ')}: ${state}, ${milliseconds(source.milliseconds)}`;
  return `${open}><failure${attributes({ type: state, message: seen })}>${escaped(seen)}</failure></testcase>`;
}

function lastCase(findings: readonly string[], cannot: string | undefined): readonly string[] {
  const open = `    <testcase${attributes({ classname: 'commonhv.clones', name: 'no remedy is reported that did not happen' })}`;
  if (cannot !== undefined)
    return [`${open}><error${attributes({ type: 'inconclusive', message: cannot })}/></testcase>`];
  if (findings.length === 0) return [`${open}/>`];
  const text = findings.join('\n');
  return [
    `${open}><failure${attributes({ type: 'contradiction', message: findings[0]! })}>${escaped(text)}</failure></testcase>`,
  ];
}
