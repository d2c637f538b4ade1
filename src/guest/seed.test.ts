/** Seeding: which values are refused, and how many bits the others may be credited. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Fault, Regs, SyncCpu } from '../cpu.ts';
import { GP } from '../cpu.ts';
import { seed } from './seed.ts';

const ZEROS = { eax: 0, ebx: 0, ecx: 0, edx: 0 };
const ROOT = { eax: 0x4f000003, ebx: 0x6d6d6f43, ecx: 0x56486e6f, edx: 0x66746e49 };
const WORDS = [
  ...[0x9e3779b97f4a7c15n, 0x3c6ef372fe94f82an, 0x1234n, 0xbb67ae8584caa73bn],
  ...[0n, 0x510e527fade682d1n, 0x9b05688c2b3e6c1fn, 0x5be0cd19137e2179n],
];

interface Machine {
  readonly statement?: number;
  readonly draft?: number;
  readonly read?: (i: number) => bigint | Fault;
  readonly leaves?: Readonly<Record<number, Regs>>;
  readonly sevStatus?: bigint;
}

function machine({
  statement = 1,
  draft = 3,
  read = (i) => WORDS[i % 8]!,
  leaves = {},
  sevStatus,
}: Machine): SyncCpu {
  let reads = 0;
  const table: Record<number, Regs> = {
    1325400064: ROOT,
    1325400066: { ...ZEROS, eax: 1, ebx: draft },
    1325400067: { ...ZEROS, eax: 0x400000a0, ebx: statement },
    ...leaves,
  };
  return {
    cpuid: (leaf) => table[leaf] ?? ZEROS,
    rdmsr: (index) => (index === 0x400000a0 ? read(reads++) : index === 0xc0010131 ? (sevStatus ?? GP) : GP),
    wrmsr: () => assert.fail('a secret was offered to the host'),
  };
}

test('eight values, little-endian, credited in full where the hypervisor says that they are secure', async () => {
  const made = await seed(machine({}));
  assert.equal(made.outcome, 'values');
  assert.ok('bytes' in made);
  assert.equal(made.bytes.length, 64);
  assert.deepEqual([...made.bytes.subarray(0, 8)], [0x15, 0x7c, 0x4a, 0x7f, 0xb9, 0x79, 0x37, 0x9e]);
  assert.equal(made.credit, 512);
  assert.equal(made.reason, 'secure');
});

test('nothing is credited without a statement, where it says no, or under draft 2', async () => {
  const cases = [
    [{ statement: 0 }, 'no-statement'],
    [{ statement: 3 }, 'no-statement'],
    [{ statement: 2 }, 'insecure'],
    [{ draft: 0 }, 'draft'],
  ] as const;
  for (const [given, reason] of cases) {
    const made = await seed(machine(given));
    assert.ok('bytes' in made);
    assert.deepEqual([made.credit, made.reason], [0, reason]);
  }
});

test('nothing is credited in a confidential guest: TDX, and SEV of any kind', async () => {
  const tdx = {
    0: { ...ZEROS, eax: 0x23 },
    33: { eax: 0, ebx: 0x65746e49, ecx: 0x20202020, edx: 0x5844546c },
  };
  const encrypting = { 2147483648: { ...ZEROS, eax: 0x80000021 } };
  const cases = [
    [{ leaves: tdx }, 'confidential'],
    [{ leaves: encrypting, sevStatus: 0b101n }, 'confidential'],
    [{ leaves: encrypting, sevStatus: 0n }, 'secure'],
    [{ leaves: encrypting }, 'secure'], // the MSR faults
    [{ sevStatus: 1n }, 'secure'], // no such leaf: the MSR means nothing
  ] as const;
  for (const [given, reason] of cases) {
    const made = await seed(machine(given));
    assert.ok('bytes' in made);
    assert.equal(made.reason, reason);
  }
});

test('stuck and patterned values are refused; zero is a value like another', async () => {
  const outcome = async (read: (i: number) => bigint | Fault) => (await seed(machine({ read }))).outcome;
  assert.equal(await outcome(() => 0n), 'stuck');
  assert.equal(await outcome((i) => WORDS[i % 4]!), 'stuck');
  assert.equal(await outcome((i) => BigInt(i)), 'patterned');
  assert.equal(await outcome((i) => BigInt.asUintN(64, -3n * BigInt(i))), 'patterned');
  assert.equal(await outcome(() => GP), 'fault');
  assert.equal(await outcome((i) => (i === 7 ? GP : WORDS[i]!)), 'fault');
});

test('no CommonHV, no RNG, a wrong number of values', async () => {
  assert.equal((await seed(machine({ leaves: { 1325400064: ZEROS } }))).outcome, 'no-commonhv');
  assert.equal((await seed(machine({ leaves: { 1325400066: ZEROS } }))).outcome, 'no-rng');
  for (const values of [1, 513, 2.5, Number.NaN])
    await assert.rejects(seed(machine({}), { values: values }), RangeError);
});
