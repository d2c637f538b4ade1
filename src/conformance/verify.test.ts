/** The runner against processors that hang, break, lie about their own shape, or answer at random. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Cpu, Fault, Regs } from '../cpu.ts';
import { bare, MachineError } from '../cpu.ts';
import { verify } from './verify.ts';

const ROOT: Regs = { eax: 0x4f00_0003, ebx: 0x6d6d_6f43, ecx: 0x5648_6e6f, edx: 0x6674_6e49 };
const LEAVES: Readonly<Record<string, Regs>> = {
  '1.0': { eax: 0, ebx: 0, ecx: 0x8000_0000, edx: 0 },
  '4f000000.0': ROOT,
  '4f000002.0': { eax: 5, ebx: 3, ecx: 0, edx: 0 },
  '4f000003.0': { eax: 0x4000_00a0, ebx: 1, ecx: 0x4000_00a1, edx: 0 },
};

/** A draft 3 machine whose values are of the system's generator. */
const good: Cpu = {
  cpuid: (leaf, subleaf) => LEAVES[`${leaf.toString(16)}.${subleaf}`] ?? (bare.cpuid(leaf, subleaf) as Regs),
  rdmsr(index) {
    if (index === 0x4000_00a0) return crypto.getRandomValues(new BigUint64Array(1))[0]!;
    return index === 0x4000_00a1 ? 0x0123_4567_89ab_cdefn : '#GP';
  },
  wrmsr: () => '#GP',
};

test('a right machine conforms, answers at once or late', async () => {
  const late: Cpu = {
    cpuid: async (leaf, subleaf) => good.cpuid(leaf, subleaf),
    rdmsr: async (index) => good.rdmsr(index),
    wrmsr: async (index, value) => good.wrmsr(index, value),
  };
  for (const cpu of [good, late]) {
    const { draft, failed, warned, passed } = await verify(cpu, { strict: true });
    assert.deepEqual({ draft, failed, warned }, { draft: 3, failed: 0, warned: 0 });
    assert.ok(passed > 20);
  }
});

test('no CommonHV: one rule fails, the others say why they are skipped', async () => {
  const report = await verify(bare);
  assert.deepEqual([report.draft, report.failed, report.passed, report.warned], [undefined, 1, 0, 0]);
  assert.equal(report.rules.find(({ outcome }) => outcome === 'failed')?.id, 'discovery.leaf');
  assert.ok(report.rules.every(({ outcome, detail }) => outcome === 'failed' || detail!.length > 10));
});

test('a question without an answer costs its patience once', async () => {
  for (const silent of ['cpuid', 'rdmsr', 'wrmsr'] as const) {
    const cpu: Cpu = { ...good, [silent]: () => new Promise(() => {}) };
    const start = performance.now();
    const { failed, rules } = await verify(cpu, { timeoutMs: 100 });
    assert.ok(performance.now() - start < 5_000);
    assert.equal(failed, 1);
    const broken = rules.find(({ outcome }) => outcome === 'failed');
    assert.match(broken!.detail!, /went silent: (CPUID|RDMSR|WRMSR) 0x[0-9a-f.x]+: no answer within 100 ms/);
    assert.ok(rules.some(({ detail }) => detail === 'the machine no longer answers'));
  }
});

test('a machine that breaks in the middle keeps what was judged before', async () => {
  let left = 500;
  const ends: Cpu = {
    ...good,
    rdmsr(index) {
      if (left-- <= 0) throw new MachineError('the guest is gone');
      return good.rdmsr(index);
    },
  };
  const { draft, failed, passed, rules } = await verify(ends);
  assert.deepEqual([draft, failed], [3, 1]);
  assert.ok(passed >= 8);
  assert.match(
    rules.find(({ outcome }) => outcome === 'failed')!.detail!,
    /RDMSR 0x400000a0: the guest is gone/,
  );
});

test('a machine that does not come back from a saved state fails the rule that asked for it', async () => {
  const resume = (): Promise<Cpu> => Promise.reject(new MachineError('no memory for a second machine'));
  const { rules, failed } = await verify(good, { resume, timeoutMs: 1_000 });
  assert.equal(failed, 1);
  assert.match(rules.find(({ outcome }) => outcome === 'failed')!.detail!, /no memory for a second machine/);
});

test('a time limit of Infinity or 2^31 is long, for questions and for controls', async () => {
  const soon = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 20));
  for (const timeoutMs of [Number.POSITIVE_INFINITY, 2 ** 31]) {
    let late = 3;
    const cpu: Cpu = {
      ...good,
      async rdmsr(index) {
        if (late-- > 0) await soon();
        return good.rdmsr(index);
      },
    };
    const report = await verify(cpu, {
      timeoutMs,
      pause: soon,
      only: ['generation.pause', 'generation.same'],
    });
    assert.deepEqual([report.failed, report.warned, report.passed], [0, 0, 2], JSON.stringify(report.rules));
  }
  for (const timeoutMs of [0, -1, Number.NaN]) await assert.rejects(verify(good, { timeoutMs }), RangeError);
});

test('answers that no processor gives: told, never thrown', async () => {
  const odd: readonly unknown[] = [-1, 2 ** 32, 1.5, '5', null, undefined, Number.NaN, {}];
  for (const value of odd) {
    const cpu = { ...good, cpuid: () => ({ ...ROOT, edx: value as number }) };
    const report = await verify(cpu);
    assert.ok(report.failed >= 1);
    assert.match(
      report.rules.find(({ outcome }) => outcome === 'failed')!.detail!,
      /expected 32 bits in EDX/,
    );
  }
  for (const value of [-1n, 2n ** 64n, 7, '#PF', null]) {
    const cpu = { ...good, rdmsr: () => value as bigint };
    const report = await verify(cpu);
    assert.ok(report.failed >= 1);
    assert.match(
      report.rules.find(({ outcome }) => outcome === 'failed')!.detail!,
      /expected 64 bits or a fault/,
    );
  }
});

test('whatever a machine answers: a report, its counts, and a bounded number of questions', async () => {
  const u32 = fc.integer({ min: 0, max: 0xffff_ffff });
  const regs = fc.record({ eax: u32, ebx: u32, ecx: u32, edx: u32 });
  const value = fc.oneof(fc.constant<Fault>('#GP'), fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }));
  const draft = fc.constantFrom(undefined, 1 as const, 2 as const, 3 as const);
  await fc.assert(
    fc.asyncProperty(
      fc.array(regs, { minLength: 1 }),
      fc.array(value, { minLength: 1 }),
      u32,
      draft,
      async (table, values, max, by) => {
        let asked = 0;
        const cpu: Cpu = {
          cpuid(leaf, subleaf) {
            asked++;
            if (leaf === 0x4f00_0000) return { ...ROOT, eax: 0x4f00_0000 + (max % 5) };
            return table[(leaf + subleaf) % table.length]!;
          },
          rdmsr: () => values[asked++ % values.length]!,
          wrmsr: () => (asked++ % 2 === 0 ? '#GP' : undefined),
        };
        const report = await verify(cpu, {
          ...(by && { draft: by }),
          resume: async () => cpu,
          restore: async () => cpu,
        });
        assert.equal(report.passed + report.failed + report.warned + report.skipped, report.rules.length);
        assert.ok(asked < 60_000, `${asked} questions`);
      },
    ),
    { numRuns: 60 },
  );
});
