import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bare, type SyncCpu } from '../cpu.ts';
import { type Draft, whichDraft } from '../spec/index.ts';
import {
  type CommonhvOptions,
  commonhv,
  countingSource,
  maskCommonhv,
  systemGeneration,
  systemSource,
} from './index.ts';

const drafts: readonly Draft[] = [1, 2, 3];
const interfaces = [
  { signature: 'KVMKVMKVM\0\0\0', location: 0x4000_0100 },
  { signature: 'Microsoft Hv', location: 0x4000_0000 },
];
const marked: SyncCpu = {
  cpuid: (eax, ecx) => ({ eax, ebx: 0xb0b, ecx, edx: 0xdead }),
  rdmsr: (index) => BigInt(index) + 1n,
  wrmsr: (_, value) => (value === 13n ? '#GP' : undefined),
};

test('"Discovery": the root leaf spells CommonHVIntf under every draft', () => {
  for (const draft of drafts) {
    const { eax, ...signature } = commonhv({ draft })(bare).cpuid(0x4f00_0000, 0);
    assert.deepEqual(signature, { ebx: 0x6d6d_6f43, ecx: 0x5648_6e6f, edx: 0x6674_6e49 });
    assert.equal(eax, 0x4f00_0002);
  }
});

test('the hypervisor bit is set or hidden, and nothing else of leaf 1 changes', () => {
  assert.deepEqual(commonhv()(marked).cpuid(1, 0), { eax: 1, ebx: 0xb0b, ecx: 0x8000_0000, edx: 0xdead });
  const host: SyncCpu = { ...bare, cpuid: () => ({ eax: 1, ebx: 2, ecx: 0xffff_ffff, edx: 4 }) };
  const hidden = commonhv({ hypervisorBit: false })(host).cpuid(1, 0);
  assert.deepEqual(hidden, { eax: 1, ebx: 2, ecx: 0x7fff_ffff, edx: 4 });
});

test('draft 1: tuples from subleaf 0, zeros after them, the index of the RNG in 4F000002H', () => {
  const cpu = commonhv({ draft: 1, interfaces, rng: { source: countingSource() } })(marked);
  assert.deepEqual(cpu.cpuid(0x4f00_0001, 0), {
    eax: 0x4000_0100,
    ebx: 0x4b4d_564b,
    ecx: 0x564b_4d56,
    edx: 0x0000_004d,
  });
  assert.equal(cpu.cpuid(0x4f00_0001, 1).eax, 0x4000_0000);
  for (const i of [2, 3, 0xffff_ffff])
    assert.deepEqual(cpu.cpuid(0x4f00_0001, i), { eax: 0, ebx: 0, ecx: 0, edx: 0 });
  assert.deepEqual(cpu.cpuid(0x4f00_0002, 0), { eax: 0x4000_00a0, ebx: 0, ecx: 0, edx: 0 });
  assert.equal(cpu.cpuid(0x4f00_0000, 0).eax, 0x4f00_0002);
  assert.deepEqual(cpu.cpuid(0x4f00_0003, 0), { eax: 0, ebx: 0, ecx: 0, edx: 0 });
});

test('draft 2: the count, then the tuples; feature bits; the index of the RNG in 4F000003H', () => {
  const cpu = commonhv({ draft: 2, interfaces, rng: { source: countingSource(), input: 'ignore' } })(marked);
  assert.deepEqual(cpu.cpuid(0x4f00_0001, 0), { eax: 2, ebx: 0, ecx: 0, edx: 0 });
  assert.equal(cpu.cpuid(0x4f00_0001, 1).eax, 0x4000_0100);
  assert.equal(cpu.cpuid(0x4f00_0001, 2).eax, 0x4000_0000);
  assert.deepEqual(cpu.cpuid(0x4f00_0001, 3), { eax: 0, ebx: 0, ecx: 0, edx: 0 });
  assert.deepEqual(cpu.cpuid(0x4f00_0002, 0), { eax: 3, ebx: 0, ecx: 0, edx: 0 });
  assert.deepEqual(cpu.cpuid(0x4f00_0003, 0), { eax: 0x4000_00a0, ebx: 0, ecx: 0, edx: 0 });
  assert.equal(cpu.cpuid(0x4f00_0000, 0).eax, 0x4f00_0003);
});

test('draft 3: preference, its number, and what it says of the values and the generation', () => {
  const cpu = commonhv({
    interfaces,
    preferred: 2,
    rng: { source: systemSource(), msr: 0x4000_00af },
    generation: { next: systemGeneration(), msr: 0x1234_5678 },
  })(marked);
  assert.deepEqual(cpu.cpuid(0x4f00_0001, 0), { eax: 2, ebx: 2, ecx: 0, edx: 0 });
  assert.deepEqual(cpu.cpuid(0x4f00_0002, 0), { eax: 0x15, ebx: 3, ecx: 0, edx: 0 });
  assert.deepEqual(cpu.cpuid(0x4f00_0003, 0), { eax: 0x4000_00af, ebx: 1, ecx: 0x1234_5678, edx: 0 });
  assert.equal(typeof cpu.rdmsr(0x4000_00af), 'bigint');
  const alone = commonhv({ generation: { ack: false } })(marked);
  assert.equal(alone.cpuid(0x4f00_0000, 0).eax, 0x4f00_0003);
  assert.deepEqual(alone.cpuid(0x4f00_0002, 0), { eax: 4, ebx: 3, ecx: 0, edx: 0 });
  assert.deepEqual(alone.cpuid(0x4f00_0003, 0), { eax: 0, ebx: 0, ecx: 0x4000_00a1, edx: 0 });
});

test('"Which draft is it?" tells every draft that has something to tell', () => {
  for (const draft of drafts) {
    for (const options of [{ interfaces }, { rng: { source: countingSource() } }] as CommonhvOptions[]) {
      const cpu = commonhv({ ...options, draft })(marked);
      const maxLeaf = cpu.cpuid(0x4f00_0000, 0).eax;
      const evidence = { interfaces: cpu.cpuid(0x4f00_0001, 0), features: cpu.cpuid(0x4f00_0002, 0) };
      assert.equal(whichDraft({ maxLeaf, ...evidence }), draft);
    }
  }
});

test('leaves 4F000000H to 4FFFFFFFH are never asked below, all others are', () => {
  const cpu = commonhv({ rng: { source: countingSource() } })(marked);
  for (const leaf of [0x4f00_0004, 0x4f12_3456, 0x4fff_ffff]) {
    assert.deepEqual(cpu.cpuid(leaf, 7), { eax: 0, ebx: 0, ecx: 0, edx: 0 });
    assert.deepEqual(maskCommonhv(marked).cpuid(leaf, 7), { eax: 0, ebx: 0, ecx: 0, edx: 0 });
  }
  for (const leaf of [0, 7, 0x4eff_ffff, 0x5000_0000, 0x8000_0000]) {
    assert.deepEqual(cpu.cpuid(leaf, 7), marked.cpuid(leaf, 7));
    assert.deepEqual(maskCommonhv(marked).cpuid(leaf, 7), marked.cpuid(leaf, 7));
  }
});

test('a layer that does not serve a register passes it below', () => {
  for (const cpu of [commonhv()(marked), maskCommonhv(marked)]) {
    assert.equal(cpu.rdmsr(0x4000_00a0), 0x4000_00a1n);
    assert.equal(cpu.rdmsr(0x4000_00a1), 0x4000_00a2n);
    assert.equal(cpu.wrmsr(0x4000_00a0, 12n), undefined);
    assert.equal(cpu.wrmsr(0x4000_00a0, 13n), '#GP');
  }
});

test('writes to the RNG: #GP where input is none, accepted otherwise, and never passed below', () => {
  const deaf: SyncCpu = {
    ...bare,
    wrmsr: () => {
      throw new Error('asked below');
    },
  };
  for (const draft of drafts) {
    const source = countingSource();
    if (draft !== 1) assert.equal(commonhv({ draft, rng: { source } })(deaf).wrmsr(0x4000_00a0, 1n), '#GP');
    for (const input of ['ignore', 'mix'] as const) {
      const cpu = commonhv({ draft, rng: { source, input } })(deaf);
      for (const value of [0n, 1n, 2n ** 64n - 1n]) assert.equal(cpu.wrmsr(0x4000_00a0, value), undefined);
    }
  }
  const first = commonhv({ draft: 1, rng: { source: countingSource() } })(deaf);
  assert.equal(first.wrmsr(0x4000_00a0, 1n), undefined); // draft 1's default is ignore
});

test('the generation: one value until a restore, another after it, and wrmsr raises #GP', () => {
  let restores = 0;
  const host: SyncCpu = { ...marked, restored: () => restores++ };
  const layer = commonhv({ generation: { next: systemGeneration() } });
  const [cpu, other] = [layer(host), layer(host)];
  const before = cpu.rdmsr(0x4000_00a1);
  assert.equal(cpu.rdmsr(0x4000_00a1), before);
  assert.notEqual(other.rdmsr(0x4000_00a1), before);
  assert.equal(cpu.wrmsr(0x4000_00a1, 5n), '#GP');
  assert.equal(cpu.rdmsr(0x4000_00a1), before);
  cpu.restored?.();
  assert.notEqual(cpu.rdmsr(0x4000_00a1), before);
  maskCommonhv(host).restored?.();
  assert.equal(restores, 2);
});

test('a generation that repeats itself, or is not 64 bits, or has a half of zeros, ends its machine', () => {
  const cpu = commonhv({ generation: { next: () => 0x7_0000_0007n } })(bare);
  assert.throws(() => cpu.restored?.(), /^RangeError: generation\.next: /);
  for (const next of [() => 2n ** 64n, () => 7n, () => 7n << 32n])
    assert.throws(() => commonhv({ generation: { next } })(bare), /^RangeError: generation\.next: /);
  const later = commonhv({ generation: { next: (async () => 1n) as unknown as () => bigint } });
  assert.throws(() => later(bare), /^TypeError: generation\.next: /);
});
