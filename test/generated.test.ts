/**
 * Machines made by a generator: over a thousand with one fault each, and unusual ones that break no rule. A sample that covers
 * each kind of fault is verified here; COMMONHV_MUTANTS=all verifies every one, as a cell of the matrix does.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ReferenceMachine, type Report, verify } from 'commonhv/conformance';
import { mutants } from './support/mutants.ts';
import { validMachines } from './support/valid-machines.ts';
import { unusualMachines } from './support/valid-unusual.ts';

const broken = (report: Report, ...outcomes: readonly string[]): readonly string[] =>
  report.rules
    .filter(({ outcome }) => outcomes.includes(outcome))
    .map(({ id, detail }) => `${id}: ${detail}`)
    .sort();
const idsOf = (details: readonly string[]): readonly string[] => details.map((text) => text.split(':')[0]!);

/** One of each kind, and every so manieth of all. */
const STEP = 37;
const seen = new Set<string>();
const sample = mutants.filter(({ kind }, i) => {
  const first = !seen.has(kind);
  seen.add(kind);
  return first || i % STEP === 0 || process.env.COMMONHV_MUTANTS === 'all';
});

test(`${sample.length} of ${mutants.length} generated machines with one fault: a rule about it is broken`, async () => {
  assert.ok(mutants.length >= 1000);
  assert.equal(new Set(mutants.map(({ name }) => name)).size, mutants.length);
  for (const { name, breaks, options } of sample) {
    const machine = new ReferenceMachine(options());
    const found = broken(await verify(machine.cpu, machine), 'failed', 'warned');
    const right = idsOf(found).some((id) => breaks.some((part) => id === part || id.startsWith(`${part}.`)));
    assert.ok(right, `${name}: expected a broken rule of ${breaks.join(', ')}, got ${found.join('; ')}`);
  }
});

const valid = [...validMachines, ...unusualMachines];
for (const { name, draft, warns = [], excused = [], either = [], make } of valid) {
  test(`valid: ${name}`, async () => {
    const { cpu, controls } = make();
    const strict = new Proxy(controls, {
      get(target, property) {
        if (property === 'strict') return true;
        const value: unknown = Reflect.get(target, property, target);
        return typeof value === 'function' ? value.bind(target) : value;
      },
    });
    const report = await verify(cpu, strict);
    assert.equal(report.draft, draft);
    assert.ok(report.passed > 0);
    assert.deepEqual(idsOf(broken(report, 'warned')), [...excused].sort());
    const should = broken(report, 'failed').filter((text) => !either.includes(text.split(':')[0]!));
    assert.deepEqual(idsOf(should), warns.filter((id) => !excused.includes(id)).sort(), should.join('; '));
    for (const { id, level, outcome } of report.rules)
      if (outcome === 'failed') assert.equal(level, 'SHOULD', id);
  });
}

test('at least ninety valid machines, of every draft', () => {
  assert.ok(valid.length >= 90);
  for (const draft of [1, 2, 3])
    assert.ok(valid.filter(({ name }) => name.startsWith(`draft ${draft}`)).length >= 12);
});
