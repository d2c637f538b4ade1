/** The tracing layer changes nothing, forgets every value, and counts right. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { SyncCpu } from './cpu.ts';
import { counter, type TraceEvent, trace } from './trace.ts';

const host: SyncCpu = {
  cpuid: (leaf, subleaf) => ({ eax: leaf, ebx: subleaf, ecx: 0xffff_ffff, edx: 7 }),
  rdmsr: (index) => (index % 2 === 0 ? 0x1234_5678_9abc_def0n : '#GP'),
  wrmsr: (index) => (index % 2 === 0 ? undefined : '#GP'),
};
const u32 = fc.integer({ min: 0, max: 0xffff_ffff });

test('what the guest sees is what is below', () => {
  fc.assert(
    fc.property(u32, u32, (a, b) => {
      const cpu = trace(() => {})(host);
      assert.deepEqual(cpu.cpuid(a, b), host.cpuid(a, b));
      assert.deepEqual(cpu.rdmsr(a), host.rdmsr(a));
      assert.deepEqual(cpu.wrmsr(a, 1n), host.wrmsr(a, 1n));
    }),
  );
});

test('a trace holds no value that was read from or written to an MSR', () => {
  const events: TraceEvent[] = [];
  const cpu = trace((event) => events.push(event))(host);
  cpu.rdmsr(0x4000_00a0);
  cpu.wrmsr(0x4000_00a0, 0xdead_beef_0bad_cafen);
  cpu.rdmsr(1);
  assert.deepEqual(events, [
    { kind: 'rdmsr', index: 0x4000_00a0, fault: undefined },
    { kind: 'wrmsr', index: 0x4000_00a0, fault: undefined },
    { kind: 'rdmsr', index: 1, fault: '#GP' },
  ]);
});

test('a restore passes down to the layer below, then shows', () => {
  const seen: string[] = [];
  const cpu = trace(({ kind }) => seen.push(kind))({ ...host, restored: () => seen.push('below') });
  cpu.restored?.();
  assert.deepEqual(seen, ['below', 'restored']);
});

test('the tally counts leaves by subleaf, scan steps, reads, writes and faults', () => {
  let now = 0;
  const { count, tally } = counter(() => now++);
  const cpu = trace(count)(host);
  for (let leaf = 0x4000_0000; leaf <= 0x4000_ff00; leaf += 0x100) cpu.cpuid(leaf, 0);
  for (const subleaf of [0, 1, 1, 0xffff_ffff]) cpu.cpuid(0x4f00_0001, subleaf);
  cpu.cpuid(0x4000_0001, 0); // inside of an interface: no step of the search
  for (const index of [1, 2, 2]) cpu.rdmsr(index);
  cpu.wrmsr(1, 0n);
  const { cpuid, msr } = tally();
  assert.equal(cpuid.total, 261);
  assert.equal(cpuid.scan, 256);
  assert.deepEqual(
    cpuid.leaves.filter(({ leaf }) => leaf === 0x4f00_0001),
    [
      { leaf: 0x4f00_0001, subleaf: 0, count: 1, firstMs: 256 },
      { leaf: 0x4f00_0001, subleaf: 1, count: 2, firstMs: 257 },
      { leaf: 0x4f00_0001, subleaf: 0xffff_ffff, count: 1, firstMs: 258 },
    ],
  );
  assert.deepEqual(msr, [
    { index: 1, reads: 1, writes: 1, faults: 2, firstMs: 260 },
    { index: 2, reads: 2, writes: 0, faults: 0, firstMs: 261 },
  ]);
});

test('a guest that asks for ever something new costs a bounded tally', () => {
  const { count, tally } = counter();
  for (let index = 0; index < 70_000; index++) count({ kind: 'rdmsr', index, fault: '#GP' });
  assert.equal(tally().msr.length, 65_536);
});
