/** Detection: CommonHV where it lists, the search where it does not, and the cost of both. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Regs, SyncCpu } from '../cpu.ts';
import { bare } from '../cpu.ts';
import { detect } from './detect.ts';

const ROOT = { ebx: 0x6d6d6f43, ecx: 0x56486e6f, edx: 0x66746e49 };
const KVM = { ebx: 0x4b4d564b, ecx: 0x564b4d56, edx: 0x0000004d };

function table(rows: Readonly<Record<string, Partial<Regs>>>): SyncCpu {
  const zeros = { eax: 0, ebx: 0, ecx: 0, edx: 0 };
  const cpuid = (leaf: number, subleaf: number) => ({ ...zeros, ...rows[`${leaf.toString(16)}.${subleaf}`] });
  return { ...bare, cpuid };
}

test('under CommonHV: the list, in its order, for 2N + 5 CPUIDs', async () => {
  const cpu = table({
    '1.0': { ecx: 0x80000000 },
    '4f000000.0': { eax: 0x4f000003, ...ROOT },
    '4f000001.0': { eax: 2 },
    '4f000001.1': { eax: 0x40000100, ...KVM },
    '4f000001.2': { eax: 0x40000000, ebx: 1, ecx: 2, edx: 3 },
    '40000100.0': { eax: 0x40000101, ...KVM },
  });
  const { hypervisorBit, commonhv, interfaces, cost } = await detect(cpu);
  assert.equal(hypervisorBit, true);
  assert.equal(commonhv?.draft, 2);
  assert.deepEqual(interfaces, [
    {
      ...{ signature: 'KVMKVMKVM\0\0\0', product: 'Linux KVM', location: 0x40000100 },
      ...{ confirmed: true, source: 'commonhv' },
    },
    {
      ...{ signature: '\x01\0\0\0\x02\0\0\0\x03\0\0\0', product: undefined, location: 0x40000000 },
      ...{ confirmed: false, source: 'commonhv' },
    },
  ]);
  assert.equal(cost.cpuid, 2 * 2 + 5);
});

test('an empty list is an answer; a CommonHV without the list leaves it to the search', async () => {
  const host = { '40000000.0': { eax: 0x40000001, ...KVM } };
  const empty = await detect(table({ ...host, '4f000000.0': { eax: 0x4f000001, ...ROOT } }));
  assert.deepEqual(empty.interfaces, []);
  const silent = await detect(table({ ...host, '4f000000.0': { eax: 0x4f000000, ...ROOT } }));
  assert.equal(silent.commonhv?.draft, undefined);
  assert.deepEqual(
    silent.interfaces.map(({ location, source }) => [location, source]),
    [[0x40000000, 'scan']],
  );
});

test('without CommonHV: the search, with the hypervisor bit hidden or not', async () => {
  for (const ecx of [0, 0x80000000]) {
    const found = await detect(table({ '1.0': { ecx }, '40000000.0': { eax: 0, ...KVM } }));
    assert.equal(found.hypervisorBit, ecx !== 0);
    assert.equal(found.commonhv, undefined);
    assert.equal(found.interfaces[0]?.product, 'Linux KVM');
    assert.equal(found.cost.cpuid, 261);
  }
});

test('a processor that answers late is the same', async () => {
  const cpu = table({ '40000000.0': { eax: 0, ...KVM } });
  const late = { ...cpu, cpuid: async (leaf: number, subleaf: number) => cpu.cpuid(leaf, subleaf) };
  assert.deepEqual(await detect(late), await detect(cpu));
});
