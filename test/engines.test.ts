/** Every engine tells the truth: the processor that it hands out answers what the layer answers. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import { type Cpu, hex, type Layer, type Regs, type SyncCpu } from 'commonhv';
import { kvm } from 'commonhv/engines/kvm';
import { model } from 'commonhv/engines/model';
import { v86 } from 'commonhv/engines/v86';
import { detect, discover } from 'commonhv/guest';
import { type CommonhvOptions, commonhv, countingSource } from 'commonhv/hypervisor';
import { overSerial, probeImage } from 'commonhv/probe';
import { skip as noKvm, notInBed } from './support/kvm-availability.ts';
import { scaled } from './support/time.ts';

interface Opened {
  readonly cpu: Cpu;
  close(): Promise<void>;
}

/** An engine under test. */
interface Candidate {
  readonly name: string;
  /** Why it cannot run here. */
  readonly skip: false | string;
  below(): Promise<SyncCpu>;
  open(layer: Layer): Promise<Opened>;
  /** Where it cannot give an answer as it was said: what else is the truth. */
  agrees?(leaf: number, answer: Regs, said: Regs, host: SyncCpu): boolean;
}

const zeros: SyncCpu = model((host) => host);
const candidates: readonly Candidate[] = [
  {
    name: 'model',
    skip: notInBed,
    below: async () => zeros,
    open: async (layer) => ({ cpu: model(layer), close: async () => {} }),
  },
  {
    name: 'v86',
    skip: notInBed,
    below: async () => (await v86().hostCpu()) as SyncCpu,
    async open(layer) {
      const machine = await v86({ memory: 4 * 2 ** 20 }).start(layer, { kernel: probeImage() });
      return { cpu: await overSerial(machine.console), close: () => machine.close() };
    },
  },
  {
    name: 'kvm',
    skip: noKvm,
    below: async () => (await kvm().hostCpu()) as SyncCpu,
    async open(layer) {
      // Index 0 is the kernel's own, IA32_P5_MC_ADDR, unless it is told to let it go.
      const machine = await kvm({ memory: 4 * 2 ** 20, msrs: [0] }).start(layer, { kernel: probeImage() });
      return { cpu: await overSerial(machine.console), close: () => machine.close() };
    },
    agrees(leaf, answer, said, host) {
      // A kernel that emulates adds features of its own to leaf 1; the hypervisor bit is the layer's affair.
      if (leaf === 1) {
        const more = { ...said, ecx: (said.ecx | answer.ecx) >>> 0, edx: (said.edx | answer.edx) >>> 0 };
        return isDeepStrictEqual(answer, more) && (answer.ecx ^ said.ecx) >= 0;
      }
      // With an Intel processor, a leaf that is not in the table has the data of the highest basic one (SDM, CPUID).
      return zero(said) && isDeepStrictEqual(answer, host.cpuid(host.cpuid(0, 0).eax, 0));
    },
  },
];
const zero = ({ eax, ebx, ecx, edx }: Regs): boolean => (eax | ebx | ecx | edx) === 0;

/** Descriptions that between them use every option of every draft; a fresh source each, so that the values are known. */
const descriptions: Readonly<Record<string, () => CommonhvOptions>> = {
  'draft 1 with an RNG': () => ({ draft: 1, rng: { msr: 0x4000_00a0, source: countingSource() } }),
  'draft 2 without anything': () => ({ draft: 2 }),
  'draft 2 with interfaces and input': () => ({
    draft: 2,
    interfaces: [
      { location: 0x4000_0100, signature: 'XenVMMXenVMM' },
      { location: 0x4000_0000, signature: 'KVMKVMKVM\0\0\0' },
    ],
    rng: { msr: 0x4b56_4e00, source: countingSource(), input: 'ignore' },
  }),
  'draft 3 with everything': () => ({
    draft: 3,
    interfaces: [
      { location: 0x4000_0000, signature: 'VMwareVMware' },
      { location: 0xffff_ffff, signature: '\xff'.repeat(12) },
    ],
    preferred: 2,
    rng: { msr: 0x4000_00a0, source: countingSource(), input: 'ignore' },
    generation: { msr: 0xffff_ffff, next: () => 0xfedc_ba98_7654_3210n, page: false },
  }),
  'draft 3 with the hypervisor bit hidden': () => ({
    hypervisorBit: false,
    rng: { source: countingSource() },
    generation: { next: () => 0x1_0000_0001n, page: false },
  }),
};
const LEAVES = [
  0, 1, 2, 0x4000_0000, 0x4000_0100, 0x4f00_0000, 0x4f00_0001, 0x4f00_0002, 0x4f00_0003, 0x4f00_0004,
];
const BEYOND = [0x4fff_ffff, 0x5000_0000, 0x8000_0000, 0xffff_ffff];
const MSRS = [0, 0x10_0000, 0x4000_00a0, 0x4000_00a1, 0x4b56_4e00, 0xffff_ffff];

for (const { name, skip, below: host, open, agrees } of candidates) {
  for (const [title, options] of Object.entries(descriptions)) {
    test(`${name} tells the truth: ${title}`, { skip, timeout: scaled(60_000) }, async () => {
      const floor = await host();
      const said = commonhv(options())(floor);
      const { cpu, close } = await open(commonhv(options()));
      try {
        for (const leaf of [...LEAVES, ...BEYOND]) {
          for (const subleaf of [0, 1, 2, 3, 0xffff_ffff]) {
            const question = `CPUID ${hex(leaf)}.${hex(subleaf)}`;
            const [answer, expected] = [await cpu.cpuid(leaf, subleaf), said.cpuid(leaf, subleaf)];
            if (agrees?.(leaf, answer, expected, floor)) continue;
            assert.deepEqual(answer, expected, question);
          }
        }
        for (const index of [...MSRS, ...MSRS]) {
          const question = `MSR ${hex(index)}`;
          assert.equal(await cpu.rdmsr(index), said.rdmsr(index), question);
          const value = 0x0123_4567_89ab_cdefn;
          assert.equal(await cpu.wrmsr(index, value), said.wrmsr(index, value), question);
        }
        assert.deepEqual(await discover(cpu), await discover(said));
        assert.deepEqual(await detect(cpu), await detect(said));
      } finally {
        await close();
      }
    });
  }

  test(`${name}: the values of the RNG come out in their order, none twice and none left out`, {
    skip,
  }, async () => {
    const { cpu, close } = await open(commonhv({ rng: { source: countingSource() } }));
    try {
      const values = [];
      for (let i = 1n; i <= 50n; i++) values.push(await cpu.rdmsr(0x4000_00a0));
      assert.deepEqual(
        values,
        values.map((_, i) => BigInt(i + 1)),
      );
    } finally {
      await close();
    }
  });
}
