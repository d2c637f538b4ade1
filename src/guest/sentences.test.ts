/** The drafts' sentences about guests that no other test of this folder holds. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Regs, SyncCpu } from '../cpu.ts';
import { GP } from '../cpu.ts';
import { detect } from './detect.ts';
import { discover } from './discover.ts';
import { seed } from './seed.ts';

type Values = readonly [eax: number, ebx: number, ecx: number, edx: number];

const COMMON = [0x6d6d6f43, 0x56486e6f, 0x66746e49] as const;
const KVM = [0x4b4d564b, 0x564b4d56, 0x0000004d] as const;
const RNG = 0x400000a0;
const GENERATION = 0x400000a1;

/** A draft 3 machine with two tuples, secure values and a generation; and a record of the accesses. */
function machine(change: Readonly<Record<string, Values>> = {}, bit = true) {
  const answers: Readonly<Record<string, Values>> = {
    '1.0': [0, 0, bit ? 0x80000000 : 0, 0],
    '4f000000.0': [0x4f000003, ...COMMON],
    '4f000001.0': [2, 2, 0, 0],
    '4f000001.1': [0x40000000, ...KVM],
    '4f000001.2': [0x40000100, 0x566e6558, 0x65584d4d, 0x4d4d566e],
    '4f000002.0': [0b111, 3, 0, 0],
    '4f000003.0': [RNG, 1, GENERATION, 0],
    ...change,
  };
  const asked = { cpuid: [] as string[], read: [] as number[], written: [] as number[] };
  let value = 1n;
  const cpu: SyncCpu = {
    cpuid(leaf, subleaf): Regs {
      asked.cpuid.push(`${leaf.toString(16)}.${subleaf}`);
      const [eax, ebx, ecx, edx] = answers[`${leaf.toString(16)}.${subleaf}`] ?? [0, 0, 0, 0];
      return { eax, ebx, ecx, edx };
    },
    rdmsr(index) {
      asked.read.push(index);
      if (index === RNG || index === 0) {
        value = BigInt.asUintN(64, value * 0x9e3779b97f4a7c15n + 1n);
        return value ^ (value >> 29n);
      }
      return index === GENERATION ? 0x1122334455667788n : GP;
    },
    wrmsr(index) {
      asked.written.push(index);
      return undefined;
    },
  };
  return { cpu, asked };
}

test('CommonHV is found with the hypervisor bit clear', async () => {
  const hidden = await detect(machine({}, false).cpu);
  assert.equal(hidden.hypervisorBit, false);
  assert.equal(hidden.commonhv?.draft, 3);
  assert.deepEqual(hidden.interfaces, (await detect(machine({}, true).cpu)).interfaces);
});

test('reserved bits, reserved registers and leaves that a guest does not know change nothing', async () => {
  const expected = await discover(machine().cpu);
  const u32 = fc.integer({ min: 0, max: 0xffffffff });
  await fc.assert(
    fc.asyncProperty(u32, u32, u32, async (a, b, c) => {
      const noisy = machine({
        '4f000001.0': [2, 2, a, b],
        '4f000001.3': [a, b, c, a],
        '4f000002.0': [(0b111 | (a & ~0b11111)) >>> 0, 3, b, c],
        '4f000003.0': [RNG, (1 | (c & ~0b11)) >>> 0, GENERATION, a],
        '4f000004.0': [a, b, c, 1],
        '4fffffff.0': [a, b, c, 1],
      });
      assert.deepEqual(await discover(noisy.cpu), expected);
    }),
  );
});

test('every leaf but the list is asked for with subleaf 0', async () => {
  const { cpu, asked } = machine();
  await detect(cpu);
  await seed(cpu);
  assert.deepEqual(
    asked.cpuid.filter((key) => !key.startsWith('4f000001.') && !key.endsWith('.0')),
    [],
  );
  assert.ok(asked.cpuid.includes('4f000001.2'));
});

test('a preferred index above N is none, and so is 0', async () => {
  for (const [ebx, preferred] of [
    [0, undefined],
    [1, 1],
    [2, 2],
    [3, undefined],
    [0xffffffff, undefined],
  ] as const)
    assert.equal((await discover(machine({ '4f000001.0': [2, ebx, 0, 0] }).cpu))?.preferred, preferred);
});

test('a location that does not answer the signature is no error', async () => {
  const found = await detect(machine({ '40000000.0': [0, ...KVM] }).cpu);
  assert.deepEqual(
    found.interfaces.map(({ location, confirmed }) => [location, confirmed]),
    [
      [0x40000000, true],
      [0x40000100, false],
    ],
  );
});

test('a number above 3 is a later draft, read as draft 3', async () => {
  const expected = await discover(machine().cpu);
  for (const number of [4, 7, 0xffffffff])
    assert.deepEqual(await discover(machine({ '4f000002.0': [0b111, number, 0, 0] }).cpu), expected);
});

test('an index of 0 is an index', async () => {
  const zero = machine({ '4f000003.0': [0, 1, GENERATION, 0] });
  assert.deepEqual((await discover(zero.cpu))?.rng, { msr: 0, input: true, secure: true });
  assert.equal((await seed(zero.cpu)).outcome, 'values');
  const other = await discover(machine({ '4f000003.0': [RNG, 1, 0, 0] }).cpu);
  assert.equal(other?.generation?.msr, 0);
});

test('nothing is ever written to the RNG, input or not', async () => {
  for (const features of [0b111, 0b101]) {
    const { cpu, asked } = machine({ '4f000002.0': [features, 3, 0, 0] });
    await detect(cpu);
    await seed(cpu, { values: 16 });
    assert.deepEqual(asked.written, []);
  }
});

test('the RNG is read for a seed alone, no value more than asked for', async () => {
  const { cpu, asked } = machine();
  await detect(cpu);
  await discover(cpu);
  assert.deepEqual(asked.read, []);
  await seed(cpu, { values: 12 });
  assert.equal(asked.read.filter((index) => index === RNG).length, 12);
});

test('where the feature bit is clear the RNG is not read, whatever the index says', async () => {
  const { cpu, asked } = machine({ '4f000002.0': [0b110, 3, 0, 0] });
  assert.equal((await seed(cpu)).outcome, 'no-rng');
  assert.deepEqual(asked.read, []);
});

test('order of reads: generation, values, generation; the generation is credited with nothing', async () => {
  const { cpu, asked } = machine();
  const made = await seed(cpu);
  assert.ok('bytes' in made && made.credit === 256 && made.bytes.length === 64);
  assert.deepEqual(asked.read.slice(0, 10), [GENERATION, ...Array(8).fill(RNG), GENERATION]);
});

test('the six steps that tell the drafts apart, in their order', async () => {
  const draftOf = async (max: number, list: Values, features: Values) => {
    const leaves = { '4f000000.0': [max, ...COMMON], '4f000001.0': list, '4f000002.0': features } as const;
    return (await discover(machine({ ...leaves, '4f000001.1': [0, 0, 0, 0] }).cpu))?.draft;
  };
  assert.equal(await draftOf(0x4f000003, [1, ...KVM], [7, 3, 0, 0]), 3);
  assert.equal(await draftOf(0x4f000003, [1, ...KVM], [7, 2, 0, 0]), 2);
  assert.equal(await draftOf(0x4f000002, [1, ...KVM], [7, 3, 0, 0]), 3);
  assert.equal(await draftOf(0x4f000002, [0, 0, 0, 0], [RNG, 0, 0, 0]), 1);
  assert.equal(await draftOf(0x4f000002, [0x40000000, ...KVM], [0, 0, 0, 0]), 1);
  assert.equal(await draftOf(0x4f000001, [1, 0, 0, 0], [7, 3, 0, 0]), 2);
  assert.equal(await draftOf(0x4f000002, [0, 0, 0, 0], [0, 0, 0, 0]), undefined);
});
