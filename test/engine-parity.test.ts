/** What a guest sees on each engine, KVM among them, is what the layer answers; and on each no rule of draft 3 is broken. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bare, type Engine, type Layer, type Machine, type Regs, type SyncCpu } from 'commonhv';
import { verify } from 'commonhv/conformance';
import { kvm } from 'commonhv/engines/kvm';
import { model } from 'commonhv/engines/model';
import { v86 } from 'commonhv/engines/v86';
import { commonhv, countingSource, systemGeneration, systemSource } from 'commonhv/hypervisor';
import { overSerial, probeImage } from 'commonhv/probe';
import type { Draft } from 'commonhv/spec';
import { skip as kvmSkip, notInBed } from './support/kvm-availability.ts';
import { scaled } from './support/time.ts';

const limit = { timeout: scaled(120_000) };
const MEMORY = 16 * 2 ** 20;
const RNG = 0x4000_00a0;
const GENERATION = 0x4000_00a1;

const ENGINES: readonly (readonly [name: string, skip: false | string, engine: () => Engine | undefined])[] =
  [
    ['model', notInBed, () => undefined],
    ['v86', notInBed, () => v86({ memory: MEMORY })],
    ['kvm', kvmSkip, () => kvm({ memory: MEMORY })],
  ];

interface Seen {
  readonly cpu: import('commonhv').Cpu;
  close(): Promise<void>;
}

async function start(engine: Engine | undefined, layer: Layer): Promise<Seen> {
  if (engine === undefined) return { cpu: model(layer), close: async () => {} };
  const machine: Machine = await engine.start(layer, { kernel: probeImage() });
  return { cpu: await overSerial(machine.console), close: () => machine.close() };
}

/** The same layer over nothing, for what it answers by itself. */
const layer = (draft: Draft, options: Parameters<typeof commonhv>[0] = {}): Layer =>
  commonhv({
    draft,
    interfaces: [
      { signature: 'Microsoft Hv', location: 0x4000_0000 },
      { signature: 'KVMKVMKVM\0\0\0', location: 0x4000_0100 },
    ],
    rng: { source: countingSource(0x0123_4567_89ab_cdefn), input: 'ignore' },
    ...(draft === 3 && { preferred: 2, generation: { next: () => 0xfedc_ba98_7654_3210n, page: false } }),
    ...options,
  });

/** Answers for a leaf of another interface, and one MSR that is nobody's. */
const other =
  (inner: Layer): Layer =>
  (host) => {
    const cpu = inner(host);
    const hyperv: Regs = { eax: 0x4000_0005, ebx: 0x7263_694d, ecx: 0x666f_736f, edx: 0x7648_2074 };
    return {
      ...cpu,
      cpuid: (leaf, subleaf) => (leaf === 0x4000_0000 ? hyperv : cpu.cpuid(leaf, subleaf)),
      rdmsr: (index) => (index === 0x4000_00a8 ? 0x8000_0000_0000_0001n : cpu.rdmsr(index)),
      wrmsr: (index, value) => (index === 0x4000_00a8 ? '#GP' : cpu.wrmsr(index, value)),
    };
  };

const LEAVES: readonly (readonly [leaf: number, subleaf: number])[] = [
  [0x4000_0000, 0],
  [0x4f00_0000, 0],
  [0x4f00_0001, 0],
  [0x4f00_0001, 1],
  [0x4f00_0001, 2],
  [0x4f00_0001, 3],
  [0x4f00_0001, 0xffff_ffff],
  [0x4f00_0002, 0],
  [0x4f00_0003, 0],
  [0x4f00_0004, 0],
  [0x4fff_ffff, 0],
];

for (const [name, skip, engine] of ENGINES) {
  for (const draft of [1, 2, 3] as const) {
    test(`${name}, draft ${draft}: leaves, the hypervisor bit and MSRs are the layer's`, {
      ...limit,
      skip,
    }, async () => {
      const alone: SyncCpu = other(layer(draft))(bare);
      const seen = await start(engine(), other(layer(draft)));
      try {
        for (const [leaf, subleaf] of LEAVES)
          assert.deepEqual(
            await seen.cpu.cpuid(leaf, subleaf),
            alone.cpuid(leaf, subleaf),
            `${leaf.toString(16)}.${subleaf}`,
          );
        assert.equal((await seen.cpu.cpuid(1, 0)).ecx >>> 31, 1);
        for (let i = 0; i < 3; i++) assert.equal(await seen.cpu.rdmsr(RNG), alone.rdmsr(RNG));
        assert.equal(await seen.cpu.wrmsr(RNG, 5n), undefined);
        assert.equal(await seen.cpu.rdmsr(0x4000_00a8), 0x8000_0000_0000_0001n);
        assert.equal(await seen.cpu.wrmsr(0x4000_00a8, 1n), '#GP');
        if (draft === 3) {
          assert.equal(await seen.cpu.rdmsr(GENERATION), 0xfedc_ba98_7654_3210n);
          assert.equal(await seen.cpu.wrmsr(GENERATION, 0n), '#GP');
        }
      } finally {
        await seen.close();
      }
    });
  }

  test(`${name}: a hidden hypervisor bit is hidden, and the leaves are there`, {
    ...limit,
    skip,
  }, async () => {
    const seen = await start(engine(), layer(3, { hypervisorBit: false }));
    try {
      assert.equal((await seen.cpu.cpuid(1, 0)).ecx >>> 31, 0);
      assert.equal((await seen.cpu.cpuid(0x4f00_0000, 0)).eax, 0x4f00_0003);
    } finally {
      await seen.close();
    }
  });

  test(`${name}: no rule of draft 3 is broken`, { ...limit, skip }, async () => {
    const options = { rng: { source: systemSource() }, generation: { next: systemGeneration() } };
    const seen = await start(engine(), layer(3, options));
    try {
      const { draft, rules } = await verify(seen.cpu, { strict: true });
      assert.equal(draft, 3);
      assert.deepEqual(
        rules.filter(({ outcome }) => outcome === 'failed' || outcome === 'warned'),
        [],
      );
    } finally {
      await seen.close();
    }
  });
}
