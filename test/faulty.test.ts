// Every rule can fail, and fails alone: each faulty hypervisor is caught by its own rule, and by no other.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { faultyHypervisors, isChecked, type Report, rules, verify } from 'commonhv/conformance';
import { commonhv, systemSource } from 'commonhv/hypervisor';
import type { Draft } from 'commonhv/spec';
import fc from 'fast-check';
import { right, stage } from './support/harness.ts';

const DRAFTS: readonly Draft[] = [1, 2, 3];

const bad = (report: Report) =>
  report.rules.filter(({ outcome }) => outcome === 'failed' || outcome === 'warned');

for (const draft of DRAFTS) {
  for (const input of draft === 1 ? (['ignore', 'mix'] as const) : (['none', 'ignore', 'mix'] as const)) {
    test(`draft ${draft}, input ${input}: the right hypervisor breaks no rule`, async () => {
      const { cpu, deeds: controls } = stage(right(draft, input));
      const report = await verify(cpu, { ...controls, strict: true });
      assert.deepEqual(bad(report), []);
      assert.equal(report.draft, draft);
      assert.equal(report.passed + report.failed + report.warned + report.skipped, report.rules.length);
    });
  }
}

test('whatever the right hypervisor is told to serve, it breaks no rule', async () => {
  const u32 = fc.integer({ min: 0, max: 0xffff_ffff });
  const signature = fc
    .array(fc.integer({ min: 1, max: 255 }), { minLength: 12, maxLength: 12 })
    .map((bytes) => String.fromCharCode(...bytes));
  const interfaces = fc.array(fc.record({ signature, location: u32 }), { maxLength: 5 });
  const described = fc.record({
    draft: fc.constantFrom(...DRAFTS),
    interfaces,
    msrs: fc.uniqueArray(fc.integer({ min: 0x5000_0000, max: 0xbfff_ffff }), { minLength: 2, maxLength: 2 }),
    rng: fc.boolean(),
    generation: fc.boolean(),
    input: fc.constantFrom('none' as const, 'ignore' as const, 'mix' as const),
    preferred: fc.nat(5),
  });
  await fc.assert(
    fc.asyncProperty(described, async ({ draft, interfaces, msrs, rng, generation, input, preferred }) => {
      const layer = commonhv({
        draft,
        interfaces,
        ...(rng && {
          rng: { source: systemSource(), msr: msrs[0]!, ...((draft > 1 || input !== 'none') && { input }) },
        }),
        ...(draft === 3 && generation && { generation: { msr: msrs[1]! } }),
        ...(draft === 3 && preferred > 0 && preferred <= interfaces.length && { preferred }),
      });
      const { cpu, deeds: controls } = stage(layer);
      assert.deepEqual(bad(await verify(cpu, { ...controls, draft, strict: true })), []);
      // Left to find the draft: the same, where anything tells it.
      const found = await verify(cpu, { ...controls, strict: true });
      assert.deepEqual(bad(found), []);
      if (rng || interfaces.length > 0) assert.equal(found.draft, draft);
    }),
    { numRuns: 100 },
  );
});

for (const draft of DRAFTS) {
  for (const faultyHypervisor of faultyHypervisors.filter(({ drafts }) => drafts.includes(draft))) {
    test(`draft ${draft}: ${faultyHypervisor.rule} catches a hypervisor that ${faultyHypervisor.title}`, async () => {
      const judged = async (strict: boolean): Promise<Report> => {
        const { cpu, deeds: controls } = stage(
          faultyHypervisor.makeFaulty(right(draft, faultyHypervisor.input ? 'mix' : undefined), draft),
        );
        return verify(cpu, { ...controls, draft, strict });
      };
      const found = bad(await judged(false));
      const level = rules.find(
        ({ id, drafts }) => id === faultyHypervisor.rule && drafts.includes(draft),
      )?.level;
      assert.deepEqual(
        found.map(({ id }) => id),
        [faultyHypervisor.rule],
        JSON.stringify(found, undefined, 1),
      );
      assert.ok(found[0]?.detail);
      assert.equal(
        found[0].outcome,
        level === 'MUST' || signed(faultyHypervisor.title) ? 'failed' : 'warned',
      );
      assert.equal((await judged(true)).failed, level === 'advisory' ? 0 : 1);
    });
  }
}

/** An answer that no processor gives fails whatever the level. */
const signed = (title: string): boolean => title === 'answers registers that are signed';

test('every MUST and SHOULD that is checked, and every note, has a faulty hypervisor in each of its drafts', () => {
  const without = DRAFTS.flatMap((draft) =>
    rules
      .filter((rule) => rule.drafts.includes(draft) && isChecked(rule) && rule.level !== 'MAY')
      .filter(
        ({ id }) =>
          !faultyHypervisors.some(
            (faultyHypervisor) => faultyHypervisor.rule === id && faultyHypervisor.drafts.includes(draft),
          ),
      )
      .map(({ id }) => `${id} of draft ${draft}`),
  );
  assert.deepEqual(without, []);
});
