/** Discovery against tables typed from the drafts, and against hostile ones. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Cpu, Regs } from '../cpu.ts';
import { bare } from '../cpu.ts';
import { discover } from './discover.ts';

type Values = readonly [eax: number, ebx: number, ecx: number, edx: number];

/** A processor that answers a few leaves, and counts how often it was asked. */
function table(answers: Readonly<Record<string, Values>>, absent: Values = [0, 0, 0, 0]) {
  const asked: string[] = [];
  const cpu: Cpu = {
    ...bare,
    cpuid(leaf, subleaf) {
      const key = `${leaf.toString(16)}.${subleaf}`;
      asked.push(key);
      const [eax, ebx, ecx, edx] = answers[key] ?? absent;
      return { eax, ebx, ecx, edx };
    },
  };
  return { cpu, asked };
}

const COMMON = [0x6d6d6f43, 0x56486e6f, 0x66746e49] as const; // "CommonHVIntf", as the drafts write it
const KVM = [0x4b4d564b, 0x564b4d56, 0x0000004d] as const; // "KVMKVMKVM\0\0\0"
const HYPERV = [0x7263694d, 0x666f736f, 0x76482074] as const; // "Microsoft Hv"

test('draft 1: tuples from subleaf 0 until zeros, EAX of 4F000002H is the RNG', async () => {
  const { cpu, asked } = table({
    '4f000000.0': [0x4f000002, ...COMMON],
    '4f000001.0': [0x40000100, ...KVM],
    '4f000001.1': [0x40000000, ...HYPERV],
    '4f000002.0': [0x400000a0, 0, 0, 0],
    '40000100.0': [0x40000101, ...KVM],
  });
  assert.deepEqual(await discover(cpu), {
    draft: 1,
    maxLeaf: 0x4f000002,
    preferred: undefined,
    interfaces: [
      { signature: 'KVMKVMKVM\0\0\0', location: 0x40000100, confirmed: true },
      { signature: 'Microsoft Hv', location: 0x40000000, confirmed: false },
    ],
    rng: { msr: 0x400000a0, input: true, secure: undefined },
    generation: undefined,
  });
  assert.ok(asked.length <= 2 + 5 + 2);
});

test('draft 2: EAX of subleaf 0 is N, tuples 1 to N; reserved values are ignored', async () => {
  const { cpu, asked } = table({
    '4f000000.0': [0x4f000003, ...COMMON],
    '4f000001.0': [1, 1, 7, 7],
    '4f000001.1': [0x40000000, ...KVM],
    '4f000001.2': [0x40000100, ...HYPERV],
    '4f000002.0': [0b101, 2, 9, 9],
    '4f000003.0': [0, 1, 0x400000a1, 0],
    '40000000.0': [0, ...KVM],
  });
  assert.deepEqual(await discover(cpu), {
    draft: 2,
    maxLeaf: 0x4f000003,
    preferred: undefined,
    interfaces: [{ signature: 'KVMKVMKVM\0\0\0', location: 0x40000000, confirmed: true }],
    rng: { msr: 0, input: false, secure: undefined }, // "0 is a valid (albeit unlikely) MSR index"
    generation: undefined,
  });
  assert.ok(asked.length <= 1 + 5 + 1);
});

test('draft 3: the preferred index, the statement about the values, the generation', async () => {
  const answers: Record<string, Values> = {
    '4f000000.0': [0x4f000003, ...COMMON],
    '4f000001.0': [2, 2, 0, 0],
    '4f000001.1': [0x40000000, ...HYPERV],
    '4f000001.2': [0x40000100, ...KVM],
    '4f000002.0': [0b111, 3, 0, 0],
    '4f000003.0': [0x400000a0, 1, 0x400000a1, 0],
  };
  const found = await discover(table(answers).cpu);
  assert.equal(found?.draft, 3);
  assert.equal(found?.preferred, 2);
  assert.deepEqual(found?.rng, { msr: 0x400000a0, input: true, secure: true });
  assert.deepEqual(found?.generation, { msr: 0x400000a1, ack: false, pageMsr: undefined });
  const variant = async (change: Record<string, Values>) => discover(table({ ...answers, ...change }).cpu);
  assert.equal((await variant({ '4f000001.0': [2, 3, 0, 0] }))?.preferred, undefined);
  assert.equal((await variant({ '4f000001.0': [2, 0, 0, 0] }))?.preferred, undefined);
  assert.equal((await variant({ '4f000003.0': [5, 2, 6, 0] }))?.rng?.secure, false);
  assert.equal((await variant({ '4f000003.0': [5, 3, 6, 0] }))?.rng?.secure, undefined);
  // One register cannot be both; without an RNG its index says nothing.
  assert.equal((await variant({ '4f000003.0': [5, 0, 5, 0] }))?.generation, undefined);
  const only = { '4f000002.0': [0b100, 3, 0, 0], '4f000003.0': [5, 0, 5, 0] } as const;
  assert.deepEqual((await variant(only))?.generation, { msr: 5, ack: false, pageMsr: undefined });
  assert.equal((await variant(only))?.rng, undefined);
});

test('a leaf above max_commonhv_leaf counts as zeros, and is not asked', async () => {
  const { cpu, asked } = table({ '4f000000.0': [0x4f000000, ...COMMON] }, [1, 1, 1, 1]);
  assert.deepEqual(await discover(cpu), {
    ...{ draft: undefined, maxLeaf: 0x4f000000, preferred: undefined },
    ...{ interfaces: [], rng: undefined, generation: undefined },
  });
  assert.deepEqual(asked, ['4f000000.0']);
  // Draft 3 by its number, with its registers' leaf missing.
  const short = table({ '4f000000.0': [0x4f000002, ...COMMON], '4f000002.0': [7, 3, 0, 0] }, [0, 0, 0, 0]);
  assert.deepEqual((await discover(short.cpu))?.rng, undefined);
  assert.equal((await discover(short.cpu))?.draft, 3);
});

test('eleven right bytes, or a max leaf outside of 4F000000H to 4FFFFFFFH, are not CommonHV', async () => {
  const roots: Values[] = [
    [0x4f000003, 0x6d6d6f43, 0x56486e6f, 0x67746e49],
    [0x4effffff, ...COMMON],
    [0x50000000, ...COMMON],
    [0, ...COMMON],
    [0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff],
  ];
  for (const root of roots) {
    const { cpu, asked } = table({}, root);
    assert.equal(await discover(cpu), undefined);
    assert.equal(asked.length, 1);
  }
});

test('four billion tuples cost 256, in each draft', async () => {
  for (const third of [0, 3]) {
    const endless = { '4f000000.0': [0x4fffffff, ...COMMON], '4f000002.0': [0, third, 0, 0] } as const;
    const { cpu, asked } = table(endless, [0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff]);
    assert.equal((await discover(cpu))?.interfaces.length, 256);
    assert.equal(asked.length, 256 + 4 + 256);
  }
  const first = table({ '4f000000.0': [0x4f000001, ...COMMON] }, [1, 1, 1, 1]);
  assert.equal((await discover(first.cpu))?.draft, 1);
  assert.equal((await discover(first.cpu))?.interfaces.length, 256);
});

/** Registers by a small generator of our own: a million tables have to be cheap, so fast-check gives one number for 500. */
function random(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x9e3779b9) | 0;
    let x = Math.imul(state ^ (state >>> 16), 0x21f0aaad);
    x = Math.imul(x ^ (x >>> 15), 0x735a2d97);
    return (x ^ (x >>> 15)) >>> 0;
  };
}

/** One random table; whether it was CommonHV's. */
async function judgeTable(seed: number): Promise<boolean> {
  const next = random(seed);
  let asked = 0;
  let root: Regs | undefined;
  const kind = next() % 4096; // most roots are wrong by a little: a right one can cost 516 questions
  const cpu: Cpu = {
    ...bare,
    cpuid(leaf) {
      asked++;
      const small = next() % 4 !== 0;
      const value = () => (small ? next() % 6 : next());
      if (leaf !== 0x4f000000) return { eax: value(), ebx: value(), ecx: value(), edx: value() };
      const eax = kind < 4 ? 0x4f000000 + (next() % 6) : next();
      const flip = kind < 6 ? 0 : 1 << (next() % 32);
      root = { eax, ebx: COMMON[0], ecx: (COMMON[1] ^ flip) >>> 0, edx: COMMON[2] };
      return root;
    },
  };
  const found = await discover(cpu);
  const right = root?.ecx === COMMON[1] && root.eax >= 0x4f000000 && root.eax <= 0x4fffffff;
  assert.equal(found !== undefined, right);
  assert.ok(asked <= 4 + 2 * (found?.interfaces.length ?? 0));
  return right;
}

test('a million random tables: ends within its bound, never throws, never claims CommonHV without its root', async () => {
  let claims = 0;
  const property = fc.asyncProperty(fc.integer(), async (seed) => {
    for (let i = 0; i < 500; i++) if (await judgeTable(Math.imul(seed, 500) + i)) claims++;
  });
  await fc.assert(property, { numRuns: 2000 });
  assert.ok(claims > 500);
});
