// Every rule can fail, and fails alone: each faulty hypervisor is caught by its own rule, and by no other.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { SavedLayer } from 'commonhv';
import {
  type FaultyHypervisor,
  faultyHypervisors,
  faultyMachines,
  isChecked,
  ReferenceMachine,
  type Report,
  rules,
  verify,
} from 'commonhv/conformance';
import { commonhv, systemGeneration, systemSource } from 'commonhv/hypervisor';
import type { Draft } from 'commonhv/spec';
import fc from 'fast-check';
import { host, right, stage } from './support/harness.ts';

const DRAFTS: readonly Draft[] = [1, 2, 3];

const bad = (report: Report) =>
  report.rules.filter(({ outcome }) => outcome === 'failed' || outcome === 'warned');

for (const draft of DRAFTS) {
  for (const input of draft === 1 ? (['ignore', 'mix'] as const) : (['none', 'ignore', 'mix'] as const)) {
    test(`draft ${draft}, input ${input}: the right hypervisor breaks no rule`, async () => {
      const { cpu, controls } = stage(right(draft, input));
      const report = await verify(cpu, { ...controls, strict: true });
      assert.deepEqual(bad(report), []);
      assert.equal(report.draft, draft);
      assert.equal(report.passed + report.failed + report.warned + report.skipped, report.rules.length);
    });
  }
}

test('whatever the right hypervisor is told to serve, it breaks no rule', async () => {
  // Where draft 3 recommends interfaces and registers to be.
  const location = fc.integer({ min: 0x4000_0000, max: 0x4eff_ffff });
  const signature = fc
    .array(fc.integer({ min: 1, max: 255 }), { minLength: 12, maxLength: 12 })
    .map((bytes) => String.fromCharCode(...bytes));
  const interfaces = fc.array(fc.record({ signature, location }), { maxLength: 5 });
  const described = fc.record({
    draft: fc.constantFrom(...DRAFTS),
    interfaces,
    msrs: fc.uniqueArray(fc.integer({ min: 0x4000_0000, max: 0x4000_00ff }), { minLength: 3, maxLength: 3 }),
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
        ...(draft === 3 &&
          generation && { generation: { next: systemGeneration(), msr: msrs[1]!, pageMsr: msrs[2]! } }),
        ...(draft === 3 && preferred > 0 && preferred <= interfaces.length && { preferred }),
      });
      const { cpu, controls } = stage(layer);
      assert.deepEqual(bad(await verify(cpu, { ...controls, draft, strict: true })), []);
      // Left to find the draft: the same, where anything tells it.
      const found = await verify(cpu, { ...controls, strict: true });
      assert.deepEqual(bad(found), []);
      if (rng || interfaces.length > 0 || draft === 3) assert.equal(found.draft, draft);
      else assert.equal(found.draft, undefined);
    }),
    { numRuns: 100 },
  );
});

/** The right hypervisor over which a faulty one is made. */
function base({ input, secure }: FaultyHypervisor, draft: Draft) {
  const mix = input ? ('mix' as const) : undefined;
  if (secure !== false) return right(draft, mix);
  return right(draft, mix, {
    rng: { source: { ...systemSource(), secure: undefined }, ...(mix && { input: mix }) },
  });
}

for (const draft of DRAFTS) {
  for (const faulty of faultyHypervisors.filter(({ drafts }) => drafts.includes(draft))) {
    test(`draft ${draft}: ${faulty.rule} catches a hypervisor that ${faulty.title}`, async () => {
      const verified = async (strict: boolean): Promise<Report> => {
        const { cpu, controls } = stage(faulty.makeFaulty(base(faulty, draft), draft));
        return verify(cpu, { ...controls, draft, strict, probeMsrs: faulty.probeMsrs });
      };
      const found = bad(await verified(false));
      const level = rules.find(({ id, drafts }) => id === faulty.rule && drafts.includes(draft))?.level;
      assert.deepEqual(
        found.map(({ id }) => id),
        [faulty.rule],
        JSON.stringify(found, undefined, 1),
      );
      assert.ok(found[0]?.detail);
      assert.equal(found[0].outcome, level === 'MUST' || signed(faulty.title) ? 'failed' : 'warned');
      const allowed =
        level === 'advisory' ||
        (faulty.rule === 'discovery.hypervisor-bit' && draft > 1 && !signed(faulty.title));
      assert.equal((await verified(true)).failed, allowed ? 0 : 1);
    });
  }
}

test('every faulty hypervisor saves and restores the layer’s part of a machine', () => {
  for (const faulty of faultyHypervisors) {
    for (const draft of faulty.drafts) {
      const layer = faulty.makeFaulty(base(faulty, draft), draft);
      const saved = layer(host).saved?.();
      assert.equal(typeof saved?.commonhv, 'string', `${faulty.rule}: ${faulty.title}`);
      // As an engine with states of its own does: without the layer's part the machine is refused.
      const travelled = JSON.parse(JSON.stringify(saved)) as SavedLayer;
      layer({ ...host, resumed: true }).restored?.(travelled);
    }
  }
});

for (const { rule, title, also = [], drafts = [3 as const], options } of faultyMachines) {
  for (const draft of drafts) {
    test(`draft ${draft}: ${rule} catches a machine that ${title}`, async () => {
      const machine = new ReferenceMachine(options(draft));
      const found = bad(await verify(machine.cpu, machine)).filter(({ id }) => !also.includes(id));
      assert.deepEqual(
        found.map(({ id }) => id),
        [rule],
        JSON.stringify(found, undefined, 1),
      );
    });
  }
}

/** An answer that no processor gives fails whatever the level. */
const signed = (title: string): boolean => title === 'answers registers that are signed';

test('every MUST and SHOULD that is checked, and every advisory, has a faulty hypervisor in each of its drafts', () => {
  const without = DRAFTS.flatMap((draft) =>
    rules
      .filter((rule) => rule.drafts.includes(draft) && isChecked(rule) && rule.level !== 'MAY')
      .filter(
        ({ id }) =>
          !faultyHypervisors.some((faulty) => faulty.rule === id && faulty.drafts.includes(draft)) &&
          !faultyMachines.some(
            (faulty) => faulty.rule === id && (faulty.drafts ?? ([3] as const)).some((one) => one === draft),
          ),
      )
      .map(({ id }) => `${id} of draft ${draft}`),
  );
  assert.deepEqual(without, []);
});
