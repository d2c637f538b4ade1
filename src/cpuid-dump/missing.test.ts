/** Missing leaves of a dump: each leaf whose absence changes the answer is named, and nothing else is. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bare, type SyncCpu } from '../cpu.ts';
import { type CpuidDump, dumpSync, missingLeaves, type Row } from '../cpuid-dump.ts';

const regs = (eax: number, ebx = 0, ecx = 0, edx = 0) => ({ eax, ebx, ecx, edx });
const ROOT = regs(0x4f00_0003, 0x6d6d_6f43, 0x5648_6e6f, 0x6674_6e49);

/** CommonHV draft 3 with two tuples, beside KVM. */
const cpu: SyncCpu = {
  ...bare,
  cpuid(leaf, subleaf) {
    if (leaf === 0) return regs(1, 0x756e_6547, 0x6c65_746e, 0x4965_6e69);
    if (leaf === 1) return regs(1, 0, 0x8000_0000);
    if (leaf === 0x4000_0000) return regs(0x4000_0001, 0x4b4d_564b, 0x564b_4d56, 0x4d);
    if (leaf === 0x4f00_0000) return ROOT;
    if (leaf === 0x4f00_0001 && subleaf === 0) return regs(2);
    if (leaf === 0x4f00_0001 && subleaf <= 2) return regs(0x4000_0000, 0x4b4d_564b, 0x564b_4d56, 0x4d);
    if (leaf === 0x4f00_0002) return regs(5, 3);
    if (leaf === 0x4f00_0003) return regs(0x4000_00a0, 1, 0x4000_00a1);
    return regs(0);
  },
};
const whole = dumpSync(cpu);
const without = (missing: (row: Row) => boolean) => [...missingLeaves(whole.filter((row) => !missing(row)))];

test('a whole record leaves nothing open', () => {
  assert.deepEqual([...missingLeaves(whole)], []);
  // Leaves of CommonHV that are all zeros are recorded as well: an empty list is an answer.
  const empty: SyncCpu = { ...bare, cpuid: (leaf) => (leaf === 0x4f00_0000 ? ROOT : regs(0)) };
  const leaves = (table: CpuidDump) => table.map(({ leaf }) => leaf).filter((leaf) => leaf >> 24 === 0x4f);
  assert.deepEqual(leaves(dumpSync(empty)), [0x4f00_0000, 0x4f00_0001, 0x4f00_0002, 0x4f00_0003]);
});

test('each leaf whose absence leaves a question open is named', () => {
  assert.deepEqual(
    without(({ leaf }) => leaf === 1),
    [['hypervisorBit', 'leaf 0x00000001 is missing: the hypervisor bit is not known']],
  );
  for (const leaf of [0x4f00_0001, 0x4f00_0002, 0x4f00_0003]) {
    assert.deepEqual(
      without((row) => row.leaf === leaf),
      [['commonhv', `leaf 0x${leaf.toString(16)} is missing: CommonHV's offer is not known`]],
    );
  }
  assert.deepEqual(
    without(({ leaf, subleaf }) => leaf === 0x4f00_0001 && subleaf === 2),
    [['commonhv', "leaf 0x4f000001 subleaf 2 is missing: CommonHV's offer is not known"]],
  );
});

test('without CommonHV’s root the search has to tell, and needs 40000000H', () => {
  const root =
    'leaf 0x4f000000 is missing (commonhv dump writes it, or cpuid -r -l 0x4f000000): whether CommonHV is offered is not known';
  assert.deepEqual(
    without(({ leaf }) => leaf >= 0x4f00_0000),
    [['commonhv', root]],
  );
  assert.deepEqual(
    without(({ leaf }) => leaf >= 0x4000_0000),
    [
      ['commonhv', root],
      ['interfaces', 'leaf 0x40000000 is missing: which interfaces there are is not known'],
    ],
  );
});

test('absence is known from a slot that shows nothing, and from a bare machine’s whole dump', () => {
  const row = (leaf: number, ecx = 0, text = regs(0)): Row => ({
    ...text,
    leaf,
    subleaf: 0,
    indexed: false,
    ...(ecx && { ecx }),
  });
  const zeroth = row(0, 0, regs(0xd));
  const open = (...rows: Row[]) => [...missingLeaves(rows).keys()];
  const BIT = 0x8000_0000;
  const kvm = row(0x4000_0000, 0, regs(0x4000_0001, 0x4b4d_564b, 0x564b_4d56, 0x4d));
  assert.deepEqual(open(zeroth, row(1, BIT), kvm), ['commonhv', 'interfaces']);
  assert.deepEqual(open(zeroth, row(1, BIT), kvm, row(0x4000_0100)), ['commonhv']);
  // An echo of the highest basic leaf in the next slot ends the scan as well.
  const echo = regs(0x1004, 0x12c0, 0x64);
  assert.deepEqual(open(row(1, BIT), row(0x16, 0, echo), kvm, row(0x4000_0100, 0, echo)), ['commonhv']);
  // No hypervisor rows with the bit clear: bare metal, if the dump goes on to 80000000H and is no excerpt.
  assert.deepEqual(open(zeroth, row(1), row(0x8000_0000)), []);
  assert.deepEqual(open(zeroth, row(1)), ['commonhv', 'interfaces']);
  assert.deepEqual(
    [...missingLeaves([zeroth, row(1), row(0x8000_0000)], true).keys()],
    ['commonhv', 'interfaces'],
  );
  assert.deepEqual(open(zeroth, row(1, BIT), row(0x8000_0000)), ['commonhv', 'interfaces']);
  // A processor of old has no 80000000H, and few basic leaves.
  assert.deepEqual(open(row(0, 0, regs(1)), row(1)), []);
  // Bare metal that echoes leaf 16H at 40000000H; a hypervisor that shows zeros there.
  assert.deepEqual(open(row(1), row(0x4000_0000, 0, echo)), []);
  assert.deepEqual(open(row(1, BIT), row(0x4000_0000)), ['commonhv']);
});

test('a dump of any processor asks at most 65536 CPUIDs', () => {
  let most = 0;
  for (const answer of [0xffff_ffff, 0x4fff_ffff, 1, 0x4000_00ff]) {
    let asked = 0;
    const hostile: SyncCpu = {
      ...bare,
      cpuid(leaf, subleaf) {
        asked++;
        // Names the highest leaf of its range, and answers each subleaf otherwise.
        return { eax: (leaf & 0xff) === 0 ? leaf + 0xff : answer, ebx: subleaf + 1, ecx: leaf, edx: 0xff };
      },
    };
    assert.ok(dumpSync(hostile).length > 0);
    most = Math.max(most, asked);
  }
  assert.equal(most, 65_536);
});
