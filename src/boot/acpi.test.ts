import assert from 'node:assert/strict';
import { test } from 'node:test';
import { acpiTables, GENERATION_ID } from './acpi.ts';

const machine = { pm1Event: 0x600, pm1Control: 0x604, gpe: 0x620, sci: 9, reset: 0xcf9, resetValue: 6 };
const sum = (bytes: Uint8Array): number => bytes.reduce((total, byte) => (total + byte) & 0xff, 0);
const ascii = (bytes: Uint8Array): string => new TextDecoder('latin1').decode(bytes);

/** The tables by signature, each found by the address that names it. */
function tablesOf(vcpus: number) {
  const { segments, rsdp } = acpiTables({ vcpus, ...machine });
  const at = (address: number): Uint8Array => {
    const found = segments.find((segment) => segment.address === address);
    assert.ok(found, `a table at ${address.toString(16)}`);
    return found.bytes;
  };
  const u32 = (bytes: Uint8Array, offset: number): number =>
    new DataView(bytes.buffer, bytes.byteOffset).getUint32(offset, true);
  const pointer = at(rsdp);
  const [rsdt, xsdt] = [at(u32(pointer, 16)), at(u32(pointer, 24))];
  const [fadt, madt] = [at(u32(xsdt, 36)), at(u32(xsdt, 44))];
  assert.deepEqual([u32(rsdt, 36), u32(rsdt, 40)], [u32(xsdt, 36), u32(xsdt, 44)]);
  const [facs, dsdt] = [at(u32(fadt, 36)), at(u32(fadt, 40))];
  assert.equal(u32(fadt, 36) % 64, 0, 'the FACS lies on 64 bytes');
  return {
    segments,
    rsdp,
    pointer,
    named: { RSDT: rsdt, XSDT: xsdt, FACP: fadt, APIC: madt, DSDT: dsdt },
    facs,
  };
}

test('the RSDP leads to every table; signatures, lengths and checksums are right', () => {
  for (const vcpus of [1, 2, 16]) {
    const { rsdp, pointer, named, facs } = tablesOf(vcpus);
    assert.equal(rsdp % 16, 0);
    assert.equal(ascii(pointer.subarray(0, 8)), 'RSD PTR ');
    assert.deepEqual([sum(pointer.subarray(0, 20)), sum(pointer)], [0, 0]);
    assert.equal(ascii(facs.subarray(0, 4)), 'FACS');
    for (const [name, table] of Object.entries(named)) {
      assert.equal(ascii(table.subarray(0, 4)), name);
      assert.equal(new DataView(table.buffer, table.byteOffset).getUint32(4, true), table.length);
      assert.equal(sum(table), 0, name);
    }
  }
});

test('they lie in reserved memory, one behind the other, and leave the generation its page', () => {
  const { segments } = tablesOf(16);
  const sorted = segments.toSorted((a, b) => a.address - b.address);
  assert.ok(sorted[0]!.address >= 0xf_0000);
  sorted.forEach(({ address, bytes }, i) => {
    assert.ok(address + bytes.length <= (sorted[i + 1]?.address ?? 0xf_f000));
  });
  assert.equal(GENERATION_ID, 0xf_f000);
  assert.throws(() => acpiTables({ vcpus: 10_000, ...machine }), /^RangeError: vcpus: 10000/);
});

test('the MADT names each processor, the I/O APIC, and the event interrupt as level-triggered, active high', () => {
  const madt = tablesOf(3).named.APIC;
  const entries: number[][] = [];
  for (let at = 44; at < madt.length; at += madt[at + 1]!)
    entries.push([...madt.subarray(at, at + madt[at + 1]!)]);
  assert.deepEqual(entries, [
    [0, 8, 0, 0, 1, 0, 0, 0],
    [0, 8, 1, 1, 1, 0, 0, 0],
    [0, 8, 2, 2, 1, 0, 0, 0],
    [1, 12, 3, 0, 0x00, 0x00, 0xc0, 0xfe, 0, 0, 0, 0],
    [2, 10, 0, 9, 9, 0, 0, 0, 0x0d, 0],
    [4, 6, 0xff, 0, 0, 1],
  ]);
});

test('the FADT has the ports where the tables of ACPI 6.5, 5.2.9 want them', () => {
  const fadt = tablesOf(1).named.FACP;
  const view = new DataView(fadt.buffer, fadt.byteOffset);
  assert.equal(view.getUint16(46, true), 9);
  assert.deepEqual(
    [56, 64, 80].map((at) => view.getUint32(at, true)),
    [0x600, 0x604, 0x620],
  );
  assert.deepEqual([...fadt.subarray(88, 93)], [4, 2, 0, 0, 2]);
  assert.deepEqual([...fadt.subarray(116, 129)], [1, 8, 0, 1, 0xf9, 0x0c, 0, 0, 0, 0, 0, 0, 6]);
});

test('the DSDT has the device with both names, its address, and the event that notifies it', () => {
  // As iasl 20200925 takes it apart: Name (ADDR, Package (0x02) {0x000FF000, Zero}), and so on.
  const text = Buffer.from(tablesOf(1).named.DSDT).toString('latin1');
  for (const part of [
    '\x08_CID\x12\x1c\x02\x0dVMGENCTR\0\x0dVM_Gen_Counter\0',
    '\x08_DDN\x0dVM_Gen_Counter\0',
    '\x08ADDR\x12\x08\x02\x0c\x00\xf0\x0f\x00\x00',
    '\x86\\\x2e_SB_VGEN\x0a\x80',
    '\x5b\x82\x4a\x05VGEN',
  ]) {
    assert.ok(text.includes(part), JSON.stringify(part));
  }
});
