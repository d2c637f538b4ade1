import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bare, type SyncCpu } from '../cpu.ts';
import { type CommonhvOptions, commonhv, countingSource, systemGeneration } from './index.ts';

const source = countingSource();
const next = systemGeneration();
const kvm = { signature: 'KVMKVMKVM\0\0\0', location: 0x4000_0000 };
const hyperv = { signature: 'Microsoft Hv', location: 0x4000_0000 };
const xen = { signature: 'XenVMMXenVMM', location: 0x4000_0100 };

const refused: readonly [what: string, name: 'TypeError' | 'RangeError', option: string, options: unknown][] =
  [
    ['a draft that is not there', 'RangeError', 'draft', { draft: 4 }],
    ['nothing at all', 'TypeError', 'options', null],
    ['a bit that is no boolean', 'TypeError', 'hypervisorBit', { hypervisorBit: 'no' }],
    ['a list that is none', 'TypeError', 'interfaces', { interfaces: 'KVMKVMKVM' }],
    ['an interface that is none', 'TypeError', 'interfaces[0]', { interfaces: [null] }],
    ['an RNG that is none', 'TypeError', 'rng', { rng: true }],
    ['a generation that is none', 'TypeError', 'generation', { generation: null }],
    [
      'a statement that is none',
      'TypeError',
      'rng.source.secure',
      { rng: { source: { ...source, secure: 'yes' } } },
    ],
    [
      "an index that KVM's Hyper-V emulation owns",
      'RangeError',
      'rng.msr',
      {
        interfaces: [{ signature: 'Linux KVM Hv', location: 0x4000_0000 }],
        rng: { source, msr: 0x4000_0000 },
      },
    ],
    [
      'a signature of 11 bytes',
      'RangeError',
      'interfaces[1].signature',
      { interfaces: [kvm, { ...kvm, signature: 'KVMKVMKVM\0\0' }] },
    ],
    [
      'a signature beyond one byte a character',
      'RangeError',
      'interfaces[0].signature',
      { interfaces: [{ ...kvm, signature: 'KVMKVMKVM\0\0\u0100' }] },
    ],
    [
      'a signature that is no string',
      'TypeError',
      'interfaces[0].signature',
      { interfaces: [{ location: 1, signature: 5 }] },
    ],
    [
      'twelve NULs',
      'RangeError',
      'interfaces[0].signature',
      { interfaces: [{ ...kvm, signature: '\0'.repeat(12) }] },
    ],
    [
      'CommonHV in its own list',
      'RangeError',
      'interfaces[1].signature',
      { interfaces: [kvm, { ...kvm, signature: 'CommonHVIntf' }] },
    ],
    [
      "a location in CommonHV's own range",
      'RangeError',
      'interfaces[0].location',
      { interfaces: [{ ...kvm, location: 0x4f00_0000 }] },
    ],
    ['a tuple twice', 'RangeError', 'interfaces[2]', { interfaces: [kvm, hyperv, { ...kvm }] }],
    [
      'a location beyond 32 bits',
      'RangeError',
      'interfaces[0].location',
      { interfaces: [{ ...kvm, location: 2 ** 32 }] },
    ],
    [
      'a negative location',
      'RangeError',
      'interfaces[0].location',
      { interfaces: [{ ...kvm, location: -1 }] },
    ],
    ['257 interfaces', 'RangeError', 'interfaces', { interfaces: Array(257).fill(kvm) }],
    ['a preference beyond the list', 'RangeError', 'preferred', { interfaces: [kvm], preferred: 2 }],
    ['preference 0', 'RangeError', 'preferred', { interfaces: [kvm], preferred: 0 }],
    ['a preference among none', 'RangeError', 'preferred', { preferred: 1 }],
    ['a preference under draft 2', 'TypeError', 'preferred', { draft: 2, interfaces: [kvm], preferred: 1 }],
    ['a preference under draft 1', 'TypeError', 'preferred', { draft: 1, interfaces: [kvm], preferred: 1 }],
    ['an RNG without a source', 'TypeError', 'rng.source', { rng: {} }],
    [
      'a source that cannot fill',
      'TypeError',
      'rng.source',
      { rng: { source: { name: 'x', secure: true } } },
    ],
    ['a source without a name', 'TypeError', 'rng.source', { rng: { source: { fill() {} } } }],
    [
      'a secure deterministic source',
      'TypeError',
      'rng.source',
      { rng: { source: { ...source, secure: true } } },
    ],
    ['an RNG index beyond 32 bits', 'RangeError', 'rng.msr', { rng: { source, msr: 2 ** 32 } }],
    ['the RNG at index 0 under draft 1', 'RangeError', 'rng.msr', { draft: 1, rng: { source, msr: 0 } }],
    ['an input that is not there', 'RangeError', 'rng.input', { rng: { source, input: 'add' } }],
    ['refused input under draft 1', 'TypeError', 'rng.input', { draft: 1, rng: { source, input: 'none' } }],
    ['a fallback that is not there', 'RangeError', 'rng.fallback', { rng: { source, fallback: 'zeros' } }],
    ['an owner that cannot be told', 'TypeError', 'rng.onFailure', { rng: { source, onFailure: 5 } }],
    ['a generation under draft 1', 'TypeError', 'generation', { draft: 1, generation: { next } }],
    ['a generation under draft 2', 'TypeError', 'generation', { draft: 2, generation: { next } }],
    ['a generation without a function', 'TypeError', 'generation.next', { generation: { next: 5n } }],
    ['an acknowledgement that is no boolean', 'TypeError', 'generation.ack', { generation: { ack: 1 } }],
    ['a page that is no boolean', 'TypeError', 'generation.page', { generation: { page: 0x1000 } }],
    ['a page index beyond 32 bits', 'RangeError', 'generation.pageMsr', { generation: { pageMsr: 2 ** 32 } }],
    [
      'an outer generation that is no function',
      'TypeError',
      'generation.outer',
      { generation: { outer: 1n } },
    ],
    [
      'an owner that hears no acknowledgement',
      'TypeError',
      'generation.onAcknowledge',
      { generation: { onAcknowledge: true } },
    ],
    [
      'a page at the generation’s index',
      'RangeError',
      'generation.pageMsr',
      { generation: { msr: 0x4000_00a2 } },
    ],
    [
      'a page at the RNG’s index',
      'RangeError',
      'generation.pageMsr',
      { rng: { source, msr: 0x4000_00a2 }, generation: {} },
    ],
    ['index 0 under draft 3', 'RangeError', 'rng.msr', { rng: { source, msr: 0 } }],
    ['the time stamp counter', 'RangeError', 'generation.msr', { generation: { msr: 0x10 } }],
    ['EFER under draft 2', 'RangeError', 'rng.msr', { draft: 2, rng: { source, msr: 0xc000_0080 } }],
    ["KVM's wall clock", 'RangeError', 'rng.msr', { interfaces: [kvm], rng: { source, msr: 0x11 } }],
    ["KVM's system time", 'RangeError', 'generation.msr', { interfaces: [kvm], generation: { msr: 0x12 } }],
    [
      "Hyper-V's nested range",
      'RangeError',
      'generation.pageMsr',
      { interfaces: [hyperv], generation: { pageMsr: 0x4000_1080 } },
    ],
    [
      "Hyper-V's 40001002H",
      'RangeError',
      'rng.msr',
      { interfaces: [hyperv], rng: { source, msr: 0x4000_1002 } },
    ],
    ['a generation beyond 32 bits', 'RangeError', 'generation.msr', { generation: { next, msr: -1 } }],
    [
      'two claims on one MSR',
      'RangeError',
      'generation.msr',
      { rng: { source, msr: 5 }, generation: { next, msr: 5 } },
    ],
    ["Hyper-V's index", 'RangeError', 'rng.msr', { interfaces: [hyperv], rng: { source, msr: 0x4000_0000 } }],
    [
      "Hyper-V's second range",
      'RangeError',
      'generation.msr',
      { interfaces: [hyperv], generation: { next, msr: 0x4000_01ff } },
    ],
    ["KVM's index", 'RangeError', 'rng.msr', { interfaces: [kvm], rng: { source, msr: 0x4b56_4d01 } }],
    [
      "Xen's page in the way",
      'RangeError',
      'rng.msr',
      { interfaces: [xen], xenPage: 0x4000_0000, rng: { source } },
    ],
    ["Xen's page beyond 32 bits", 'RangeError', 'xenPage', { xenPage: 2 ** 40 }],
  ];

for (const [what, name, option, options] of refused) {
  test(`${what}: a ${name} that names ${option}`, () => {
    assert.throws(
      () => commonhv(options as CommonhvOptions),
      (error: Error) => {
        assert.equal(error.name, name);
        assert.ok(error.message.startsWith(`${option}: `), error.message);
        assert.ok(!error.message.includes('\n'));
        return true;
      },
    );
  });
}

test('options may be undefined, one by one', () => {
  commonhv({
    draft: undefined,
    hypervisorBit: undefined,
    interfaces: undefined,
    preferred: undefined,
    rng: { source: { ...source, secure: undefined }, msr: undefined, input: undefined, fallback: undefined },
    generation: { msr: undefined, next: undefined, ack: undefined, page: undefined, pageMsr: undefined },
    xenPage: undefined,
  });
  commonhv({ rng: undefined, generation: undefined });
  // Sources as people write them.
  commonhv({
    rng: { source: { name: 'webcrypto', fill: (bytes) => globalThis.crypto.getRandomValues(bytes) } },
  });
});

test('an index that an interface owns is free where the interface is not advertised', () => {
  commonhv({ rng: { source, msr: 0x4b56_4d01 }, generation: { next, msr: 0x4000_0000 } });
  commonhv({ rng: { source, msr: 0x11 }, generation: { page: false, pageMsr: 0x4000_00a1 } });
  commonhv({ interfaces: [hyperv, kvm], rng: { source }, generation: { next } });
  commonhv({ draft: 2, rng: { source, msr: 0 } });
});

test("beside Xen our default indices are free only where Xen's leaves say that its page sits elsewhere", () => {
  const leaves = (page: number): SyncCpu => ({
    ...bare,
    cpuid(leaf) {
      if (leaf === 0x4000_0100)
        return { eax: 0x4000_0105, ebx: 0x566e_6558, ecx: 0x6558_4d4d, edx: 0x4d4d_566e };
      if (leaf === 0x4000_0102) return { eax: 1, ebx: page, ecx: 0, edx: 0 };
      return { eax: 0, ebx: 0, ecx: 0, edx: 0 };
    },
  });
  const options: CommonhvOptions = { interfaces: [xen], rng: { source } };
  commonhv(options)(leaves(0x4000_0200));
  commonhv({ ...options, xenPage: 0x4000_0200 })(bare);
  for (const host of [leaves(0x4000_0000), leaves(0x1234), bare]) {
    assert.throws(() => commonhv(options)(host), /^RangeError: rng\.msr: /);
  }
  assert.throws(() => commonhv({ ...options, xenPage: 0x1234 }), /^RangeError: rng\.msr: /);
  assert.throws(() =>
    commonhv({ interfaces: [xen], rng: { source, msr: 0x4000_0210 } })(leaves(0x4000_0200)),
  );
});
