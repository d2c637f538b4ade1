/** Seeding: which values are refused, and how many bits the others may be credited. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Cpu, Fault, Regs, SyncCpu } from '../cpu.ts';
import { GP } from '../cpu.ts';
import { discover } from './discover.ts';
import { acknowledge, markReseeded, readPage, setPage } from './page.ts';
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

test('eight values, little-endian, credited 256 bits where the hypervisor says that they are secure', async () => {
  const made = await seed(machine({}));
  assert.equal(made.outcome, 'values');
  assert.ok('bytes' in made);
  assert.equal(made.bytes.length, 64);
  assert.deepEqual([...made.bytes.subarray(0, 8)], [0x15, 0x7c, 0x4a, 0x7f, 0xb9, 0x79, 0x37, 0x9e]);
  assert.equal(made.credit, 256);
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

test('where the generation changes between the reads, the values are discarded and read anew', async () => {
  let generation = 0x1_0000_0001n;
  let reads = 0;
  const served: bigint[] = [];
  const layer = (changes: number): Cpu => {
    const cpu = commonhvLike(() => generation);
    return {
      ...cpu,
      rdmsr(index) {
        const value = cpu.rdmsr(index);
        if (index === 0x400000a0) {
          served.push(value as bigint);
          if (++reads % 8 === 3 && reads < changes * 8) generation += 0x1_0000_0001n;
        }
        return value;
      },
    };
  };
  const made = await seed(layer(2));
  assert.ok(made.outcome === 'values');
  assert.equal(made.generation, generation);
  assert.equal(reads, 24);
  const bytes = new DataView(made.bytes.buffer);
  assert.deepEqual(
    Array.from({ length: 8 }, (_, i) => bytes.getBigUint64(8 * i, true)),
    served.slice(16),
  );
  reads = 0;
  assert.equal((await seed(layer(100))).outcome, 'changing');
  assert.equal(reads, 32);
});

test('acknowledge and the page: absent where no bit is set, else the value and the address are written', async () => {
  const written: [number, bigint][] = [];
  const cpu: Cpu = {
    ...commonhvLike(() => 7n, 0b11101, 0x400000a2),
    wrmsr(index, value) {
      written.push([index, value]);
      return value === 9n ? '#GP' : undefined;
    },
  };
  const found = (await discover(cpu))!;
  assert.deepEqual(found.generation, { msr: 0x400000a1, ack: true, pageMsr: 0x400000a2 });
  assert.equal(await acknowledge(cpu, found, 7n), 'acknowledged');
  assert.equal(await acknowledge(cpu, found, 9n), 'changed');
  assert.equal(await setPage(cpu, found, 0x7000), undefined);
  assert.equal(await setPage(cpu, found, undefined), undefined);
  const expected: [number, bigint][] = [
    [0x400000a1, 7n],
    [0x400000a1, 9n],
    [0x400000a2, 0x7001n],
    [0x400000a2, 0n],
  ];
  assert.deepEqual(written, expected);
  const without = (await discover(commonhvLike(() => 7n)))!;
  assert.equal(await acknowledge(cpu, without, 7n), 'absent');
  assert.equal(await setPage(cpu, without, 0x7000), 'absent');
  const page = new DataView(new ArrayBuffer(4096));
  page.setBigUint64(0, 5n, true);
  markReseeded(page, 5n);
  assert.deepEqual(readPage(page), { generation: 5n, reseeded: 5n });
});

/** A draft 3 hypervisor with random values and a generation. */
function commonhvLike(generation: () => bigint, features = 0b101, page = 0): Cpu {
  const leaves: Record<number, [number, number, number, number]> = {
    1325400064: [0x4f000003, 0x6d6d6f43, 0x56486e6f, 0x66746e49],
    1325400066: [features, 3, 0, 0],
    1325400067: [0x400000a0, 1, 0x400000a1, page],
  };
  return {
    cpuid(leaf) {
      const [eax, ebx, ecx, edx] = leaves[leaf] ?? [0, 0, 0, 0];
      return { eax, ebx, ecx, edx };
    },
    rdmsr: (index) =>
      index === 0x400000a1 ? generation() : globalThis.crypto.getRandomValues(new BigUint64Array(1))[0]!,
    wrmsr: () => '#GP',
  };
}
