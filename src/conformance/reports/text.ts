/** A report as readable text: by section of the draft, failures first. */

import { SECTIONS, type Section, sectionOf } from '../rule.ts';
import type { Outcome, Report, Result } from '../verify.ts';
import { type About, deterministicLine, isBad, plain, resultLine, scopeLine } from './about.ts';

/** How a piece of the text report is to look. */
export type Style = 'bold' | 'dim' | 'red' | 'green' | 'yellow' | 'cyan';
/** Styles a piece of text, by escape sequences say; without one `textReport` writes plain text. */
export type Paint = (style: Style, text: string) => string;

const MARKS: Readonly<Record<Outcome, readonly [mark: string, style: Style]>> = {
  failed: ['FAIL', 'red'],
  warned: ['warn', 'yellow'],
  passed: ['ok', 'green'],
  skipped: ['skip', 'dim'],
};
const ORDER: readonly Outcome[] = ['failed', 'warned', 'passed', 'skipped'];
const WIDTH = 100;

/** Ends with the line `N passed, N failed, N skipped`; warnings have a line before it. */
export function textReport(report: Report, about: About, paint: Paint = (_, text) => text): string {
  const time = about.milliseconds === undefined ? '' : `, ${about.milliseconds} ms`;
  const head = `${paint('bold', `${plain(about.engine)} ${resultLine(report)}`)}${time}`;
  const lines = [head];
  if (about.deterministic !== undefined) lines.push(paint('yellow', deterministicLine(about.deterministic)));
  const width = Math.max(...report.rules.map(({ id }) => id.length));
  const absent = !report.present || report.later !== undefined;
  if (!absent && (report.failed > 0 || report.passed === 0)) lines.push(paint('dim', scopeLine(report)));
  for (const { title, results } of grouped(report)) {
    const shown = results.filter(({ outcome }) => !absent || outcome !== 'skipped');
    if (shown.length > 0) lines.push('', paint('bold', title));
    for (const result of shown) lines.push(...entry(result, width, paint));
  }
  lines.push('');
  if (absent)
    lines.push(
      paint('dim', 'The rules need CommonHV to be there: those that were skipped are left out here.'),
    );
  if (!report.present) lines.push(...(about.instead ?? []).map(plain));
  if (report.warned > 0)
    lines.push(paint('yellow', `${report.warned} warned (a SHOULD fails under --strict, a note never)`));
  lines.push(`${report.passed} passed, ${report.failed} failed, ${report.skipped} skipped`);
  return `${lines.join('\n')}\n`;
}

/** Sections in the draft's order, those with failures before the others; in each the failures first. */
function grouped({ rules, rulesOf }: Report): readonly { title: string; results: readonly Result[] }[] {
  const sections = new Map<Section, Result[]>();
  for (const result of rules) {
    const section = sectionOf(result);
    sections.set(section, [...(sections.get(section) ?? []), result]);
  }
  const worst = (results: readonly Result[]): number =>
    Math.min(...results.map(({ outcome }) => (outcome === 'failed' ? 0 : 1)));
  return [...sections]
    .map(([section, results]) => ({
      title: SECTIONS[section][rulesOf] ?? section,
      results: ORDER.flatMap((outcome) => results.filter((result) => result.outcome === outcome)),
    }))
    .sort((a, b) => worst(a.results) - worst(b.results));
}

function entry(result: Result, width: number, paint: Paint): readonly string[] {
  const [mark, style] = MARKS[result.outcome];
  const name = `  ${paint(style, mark.padEnd(4))}  ${result.id.padEnd(width)}`;
  const detail = result.detail === undefined ? '' : plain(result.detail);
  if (!isBad(result)) return [`${name}  ${paint('dim', detail)}`.trimEnd()];
  const indent = '        ';
  return [
    `${name}  ${result.level}`,
    ...wrap(`"${result.text}"`, indent).map((line) => paint('dim', line)),
    ...wrap(detail, indent),
  ];
}

/** Lines of at most `WIDTH` characters, broken at spaces. */
function wrap(text: string, indent: string): readonly string[] {
  const lines: string[] = [];
  let line = '';
  for (const value of text.split(' ')) {
    if (line !== '' && indent.length + line.length + 1 + value.length > WIDTH) {
      lines.push(indent + line);
      line = value;
    } else {
      line = line === '' ? value : `${line} ${value}`;
    }
  }
  return [...lines, indent + line];
}
