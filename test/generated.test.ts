/**
 * Machines made by a generator: over a thousand with one fault each, and unusual ones that break no rule. A sample that covers
 * each kind of fault is verified here; COMMONHV_MUTANTS=all verifies every one, as a cell of the matrix does.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ReferenceMachine, type Report, verify } from 'commonhv/conformance';
import { mutants } from './support/mutants.ts';
import { validMachines } from './support/valid-machines.ts';

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

for (const { name, draft, warns = [], excused = [], make } of validMachines) {
  test(`valid: ${name}`, async () => {
    const verified = async (strict: boolean): Promise<Report> => {
      const { cpu, controls } = make();
      const options = new Proxy(controls, {
        get: (target, property) => {
          if (property === 'strict') return strict;
          const value: unknown = Reflect.get(target, property, target);
          return typeof value === 'function' ? value.bind(target) : value;
        },
      });
      return verify(cpu, options);
    };
    const report = await verified(false);
    assert.deepEqual(broken(report, 'failed'), []);
    assert.equal(report.draft, draft);
    assert.ok(report.passed > 0);
    assert.deepEqual(idsOf(broken(report, 'warned')), [...warns].sort());
    if (warns.length === 0 || excused.length > 0)
      assert.deepEqual(broken(await verified(true), 'failed'), []);
  });
}

test('at least forty valid machines, of every draft', () => {
  assert.ok(validMachines.length >= 40);
  for (const draft of [1, 2, 3])
    assert.ok(validMachines.filter(({ name }) => name.startsWith(`draft ${draft}`)).length >= 12);
});
