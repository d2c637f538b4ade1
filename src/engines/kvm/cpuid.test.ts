import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Row } from '../../cpuid-dump.ts';
import { decodeTable, encodeTable, withHyperV } from './cpuid.ts';

const word = fc.integer({ min: 0, max: 0xffff_ffff });
const row: fc.Arbitrary<Row> = fc.record(
  { leaf: word, subleaf: word, indexed: fc.boolean(), eax: word, ebx: word, ecx: word, edx: word },
  { noNullPrototype: true },
);

test('a table written for the kernel reads back as it was', () => {
  fc.assert(
    fc.property(fc.array(row, { maxLength: 100 }), (rows) => {
      assert.deepEqual(decodeTable(encodeTable(rows)), rows);
    }),
  );
});

test('an entry lies where struct kvm_cpuid_entry2 has it', () => {
  const bytes = encodeTable([
    { leaf: 0x4f00_0001, subleaf: 2, indexed: true, eax: 3, ebx: 4, ecx: 5, edx: 6 },
  ]);
  assert.deepEqual([...new Uint32Array(bytes.buffer)], [1, 0, 0x4f00_0001, 2, 1, 3, 4, 5, 6, 0, 0, 0]);
});

const plain = (leaf: number, eax: number, ebx = 0): Row => ({
  leaf,
  subleaf: 0,
  indexed: false,
  eax,
  ebx,
  ecx: 0,
  edx: 0,
});

test('Hyper-V takes 40000000H, and KVM moves to 40000100H with its last leaf', () => {
  const own = [
    plain(0, 13),
    plain(0x4000_0000, 0x4000_0001, 0x4b4d_564b),
    plain(0x4000_0001, 0x7b),
    plain(0x8000_0000, 1),
  ];
  const hyperv = [plain(0x4000_0000, 0x4000_0006, 0x7263_694d), plain(0x4000_0001, 0x3123_7648)];
  assert.deepEqual(withHyperV(own, hyperv), [
    plain(0, 13),
    plain(0x4000_0000, 0x4000_0006, 0x7263_694d),
    plain(0x4000_0001, 0x3123_7648),
    plain(0x4000_0100, 0x4000_0101, 0x4b4d_564b),
    plain(0x4000_0101, 0x7b),
    plain(0x8000_0000, 1),
  ]);
});

test('old KVM’s last leaf of 0 means the leaf after its first', () => {
  assert.deepEqual(withHyperV([plain(0x4000_0000, 0, 0x4b4d_564b)], []), [
    plain(0x4000_0100, 0x4000_0101, 0x4b4d_564b),
  ]);
});
