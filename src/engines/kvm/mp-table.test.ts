import assert from 'node:assert/strict';
import { test } from 'node:test';
import { mpTable } from './mp-table.ts';

const sum = (bytes: Uint8Array): number => bytes.reduce((total, byte) => (total + byte) & 0xff, 0);
const ascii = (bytes: Uint8Array): string => new TextDecoder('latin1').decode(bytes);

test('the floating pointer lies on a paragraph, adds up to zero and points to a table that does too', () => {
  for (const vcpus of [1, 2, 16]) {
    const { address, bytes } = mpTable(vcpus);
    assert.equal(address % 16, 0);
    assert.equal(ascii(bytes.subarray(0, 4)), '_MP_');
    assert.equal(sum(bytes.subarray(0, 16)), 0);
    const view = new DataView(bytes.buffer);
    assert.equal(view.getUint32(4, true), address + 16);
    const table = bytes.subarray(16);
    assert.equal(ascii(table.subarray(0, 4)), 'PCMP');
    assert.equal(view.getUint16(20, true), table.length);
    assert.equal(sum(table), 0);
    assert.ok(address + bytes.length <= 0xa_0000);
  }
});

test('the entries are as many as it says, sorted, and name each processor', () => {
  const { bytes } = mpTable(3);
  const table = bytes.subarray(16);
  const kinds: number[] = [];
  const ids: number[] = [];
  for (let at = 44; at < table.length; at += table[at] === 0 ? 20 : 8) {
    kinds.push(table[at]!);
    if (table[at] === 0) ids.push(table[at + 1]!);
  }
  assert.equal(kinds.length, new DataView(bytes.buffer).getUint16(16 + 34, true));
  assert.deepEqual(kinds, kinds.toSorted());
  assert.deepEqual(ids, [0, 1, 2]);
});
