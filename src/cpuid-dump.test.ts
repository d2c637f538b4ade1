/** Snapshots: taken from processors of many kinds, written, read back, and answering as the processor did. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Regs, SyncCpu } from './cpu.ts';
import { bare } from './cpu.ts';
import { dump, dumpSync, formatDump, parseDump, replay } from './cpuid-dump.ts';

type Words = readonly [eax: number, ebx: number, ecx: number, edx: number];
const regs = ([eax, ebx, ecx, edx]: Words): Regs => ({ eax, ebx, ecx, edx });

/** Basic leaves to DH, two interfaces, CommonHV in draft 2 with one tuple far away. */
function machine(echo: boolean): SyncCpu {
  const leaves = new Map<string, Words>([
    ['0.0', [0xd, 0x756e6547, 0x6c65746e, 0x49656e69]],
    ['1.0', [0xa00f11, 0x20800, 0xf7f83203, 0x178bfbff]],
    ['4.0', [0x121, 1, 2, 3]],
    ['4.1', [0x122, 1, 2, 3]],
    ['d.0', [7, 0x240, 0x340, 0]],
    ['d.2', [0x100, 0x240, 0, 0]],
    ['40000000.0', [0x40000001, 0x7263694d, 0x666f736f, 0x76482074]],
    ['40000001.0', [0x31237648, 0, 0, 0]],
    ['40000100.0', [0, 0x4b4d564b, 0x564b4d56, 0x4d]],
    ['40000101.0', [0x1007efb, 0, 0, 0]],
    ['4f000000.0', [0x4f000003, 0x6d6d6f43, 0x56486e6f, 0x66746e49]],
    ['4f000001.0', [3, 0, 0, 0]],
    ['4f000001.1', [0x40000100, 0x4b4d564b, 0x564b4d56, 0x4d]],
    ['4f000001.3', [0x50000000, 0x41414141, 0x41414141, 0x41414141]],
    ['4f000002.0', [1, 0, 0, 0]],
    ['4f000003.0', [0x400000a0, 0, 0, 0]],
    ['50000000.0', [0x50000001, 0x41414141, 0x41414141, 0x41414141]],
    ['50000001.0', [1, 2, 3, 4]],
    ['80000000.0', [0x80000001, 0, 0, 0]],
    ['80000001.0', [0, 0, 0, 0x20000000]],
  ]);
  const indexed = new Set([4, 0xd, 0x4f000001]);
  const known = (leaf: number) => leaves.get(`${leaf.toString(16)}.0`) !== undefined;
  return {
    ...bare,
    cpuid(leaf, subleaf) {
      const from = known(leaf) || !echo ? leaf : 0xd;
      const index = indexed.has(from) ? subleaf : 0;
      return regs(leaves.get(`${from.toString(16)}.${index}`) ?? [0, 0, 0, 0]);
    },
  };
}

test('a snapshot answers as the processor does, with the leaves that take an index', () => {
  const cpu = machine(false);
  const table = dumpSync(cpu);
  const copy = replay(table);
  for (const leaf of [0, 1, 4, 0xd, 0x40000000, 0x40000001, 0x40000100, 0x40000101, 0x4f000000, 0x4f000001]) {
    for (let subleaf = 0; subleaf < 6; subleaf++) {
      assert.deepEqual(
        copy.cpuid(leaf, subleaf),
        cpu.cpuid(leaf, subleaf),
        `${leaf.toString(16)}.${subleaf}`,
      );
    }
  }
  for (const leaf of [0x4f000002, 0x4f000003, 0x4f000004, 0x50000001, 0x80000001, 0x40000200]) {
    assert.deepEqual(copy.cpuid(leaf, 0), cpu.cpuid(leaf, 0), leaf.toString(16));
  }
  const indexed = new Set(table.filter((row) => row.indexed).map(({ leaf }) => leaf));
  assert.deepEqual([...indexed], [4, 0xd, 0x4f000001]);
  // A tuple that is counted is kept though it is all zeros: 3 are counted here, and the count is a row itself.
  assert.equal(table.filter(({ leaf }) => leaf === 0x4f000001).length, 4);
  assert.equal(copy.rdmsr(0x10), '#GP');
});

test('where absent leaves are echoes, only the slots that every tool looks at are kept', () => {
  const table = dumpSync(machine(true)).map(({ leaf }) => leaf);
  assert.deepEqual(
    [...new Set(table.filter((leaf) => leaf >= 0x40000000 && leaf < 0x4f000000))],
    [0x40000000, 0x40000001, 0x40000100, 0x40000101, 0x40000200],
  );
  const echoing: SyncCpu = { ...bare, cpuid: (leaf) => regs(leaf === 0 ? [2, 0, 0, 0] : [7, 8, 9, 10]) };
  const roots = dumpSync(echoing).filter(({ leaf }) => leaf >= 0x40000000 && leaf < 0x80000000);
  assert.deepEqual(
    roots.map(({ leaf, eax }) => [leaf, eax]),
    [
      [0x40000000, 7],
      [0x4f000000, 7],
    ],
  );
});

test('bhyve, which answers 40000000H to 7FFFFFFFH alike, has one interface', () => {
  const bhyve: Words = [0x40000000, 0x76796862, 0x68622065, 0x20657679];
  const cpu: SyncCpu = {
    ...bare,
    cpuid: (leaf) => regs(leaf >= 0x40000000 && leaf < 0x80000000 ? bhyve : [0, 0, 0, 0]),
  };
  const slots = dumpSync(cpu).filter(({ leaf }) => leaf >= 0x40000000 && leaf < 0x4f000000);
  assert.deepEqual(
    slots.map(({ leaf }) => leaf),
    [0x40000000, 0x40000100], // the second shows that the scan ended
  );
});

test('an unknown leaf whose second answer is zeros takes an index', () => {
  const cpu: SyncCpu = {
    ...bare,
    cpuid: (leaf, subleaf) => {
      if (leaf === 0) return regs([0x22, 0x756e6547, 0x6c65746e, 0x49656e69]);
      return leaf === 0x22 && subleaf === 0 ? regs([1, 2, 3, 4]) : regs([0, 0, 0, 0]);
    },
  };
  const copy = replay(dumpSync(cpu));
  assert.deepEqual([copy.cpuid(0x22, 0), copy.cpuid(0x22, 1)], [regs([1, 2, 3, 4]), regs([0, 0, 0, 0])]);
});

test('draft 1 lists tuples without a count', () => {
  const tuples: Words[] = [
    [0x40000000, 0x4b4d564b, 0x564b4d56, 0x4d],
    [0x40000100, 1, 2, 3],
  ];
  const cpu: SyncCpu = {
    ...bare,
    cpuid(leaf, subleaf) {
      if (leaf === 0x4f000000) return regs([0x4f000001, 0x6d6d6f43, 0x56486e6f, 0x66746e49]);
      return regs((leaf === 0x4f000001 ? tuples[subleaf] : undefined) ?? [0, 0, 0, 0]);
    },
  };
  const rows = dumpSync(cpu).filter(({ leaf }) => leaf === 0x4f000001);
  assert.deepEqual(
    rows.map(({ subleaf, indexed }) => [subleaf, indexed]),
    [
      [0, true],
      [1, true],
    ],
  );
});

test('a processor that answers late has the same snapshot; both formats read back as it', async () => {
  const cpu = machine(false);
  const table = dumpSync(cpu);
  assert.deepEqual(await dump({ ...cpu, cpuid: async (leaf, subleaf) => cpu.cpuid(leaf, subleaf) }), table);
  for (const as of ['cpuid', 'json'] as const) {
    const { cpus, problems } = parseDump(formatDump([table, table], as));
    assert.deepEqual(cpus, [table, table]);
    assert.deepEqual(problems, []);
  }
  assert.match(
    formatDump([table]),
    /^CPU 0:\n {3}0x00000000 0x00: eax=0x0000000d ebx=0x756e6547 ecx=0x6c65746e edx=/,
  );
});

test('hostile processors are read within 2^16 questions or a few more, and never throw', () => {
  const words = fc.tuple(fc.nat(3), fc.nat(3), fc.integer({ min: 0, max: 0xffffffff }), fc.nat(3));
  const property = fc.property(
    fc.array(words, { minLength: 1, maxLength: 40 }),
    fc.boolean(),
    (rows, high) => {
      let asked = 0;
      const cpuid = (leaf: number) => {
        const [a, b, c, d] = rows[asked++ % rows.length]!;
        return regs([high ? (leaf | 0xffff) >>> 0 : a, b, c, d]);
      };
      dumpSync({ ...bare, cpuid });
      assert.ok(asked <= 0x10000 + 1000, `asked ${asked} times`);
    },
  );
  fc.assert(property, { numRuns: 30 });
});
