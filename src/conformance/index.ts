/** The conformance suite: rules as data, one runner, faulty hypervisors that prove the rules, and the reporters. @module */

export type { Reading } from './answers.ts';
export type { MachineControls, MachineUnderTest, MemoryControl, Processors } from './controls.ts';
export type { FaultyMachine } from './faulty/fault.ts';
export type { FaultyCpu, FaultyHypervisor } from './faulty/index.ts';
export { faultyHypervisors } from './faulty/index.ts';
export { faultyMachines } from './faulty/machines.ts';
export type {
  Hooks,
  Moment,
  ReferenceOptions,
  RegisterName,
  Route,
  Store,
  World,
} from './faulty/reference.ts';
export { ReferenceMachine } from './faulty/reference.ts';
export type { Entry, Implementation, Register } from './implementation.ts';
export type { Controls, Machine } from './machine.ts';
export type { About } from './reports/about.ts';
export { conforms, resultLine } from './reports/about.ts';
export { jsonReport, junitReport, ktapReport } from './reports/machines.ts';
export type { Paint, Style } from './reports/text.ts';
export { textReport } from './reports/text.ts';
export type { CheckedRule, Finding, GuestRule, Level, Rule, Section, UncheckedRule } from './rule.ts';
export { isChecked, isGuestRule, SECTIONS, sectionOf } from './rule.ts';
export { rules, rulesOf } from './rules/index.ts';
export type { Outcome, Report, Result, VerifyOptions } from './verify.ts';
export { verify } from './verify.ts';
