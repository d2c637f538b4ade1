/** The conformance suite: rules as data, one runner, liars that prove the rules, and the reporters. @module */
export type { JudgeOptions, Outcome, Report, Result } from './judge.ts';
export { judge } from './judge.ts';
export type { Liar, LyingCpu } from './liars/index.ts';
export { liars } from './liars/index.ts';
export type { About } from './reports/about.ts';
export { conforms, verdict } from './reports/about.ts';
export { jsonReport, junitReport, ktapReport } from './reports/machines.ts';
export type { Paint, Style } from './reports/text.ts';
export { textReport } from './reports/text.ts';
export type { Checked, Finding, Level, OfGuests, Rule, Section, Unchecked } from './rule.ts';
export { isChecked, isOfGuests, SECTIONS, sectionOf } from './rule.ts';
export { rules, rulesOf } from './rules/index.ts';
export type { Deeds, Entry, Subject } from './subject.ts';
