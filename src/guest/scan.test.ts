/** The 0x40000000 scan, and the traps that real hypervisors set in it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Cpu } from '../cpu.ts';
import { bare } from '../cpu.ts';
import { scan } from './scan.ts';

type Values = readonly [eax: number, ebx: number, ecx: number, edx: number];

function answering(answer: (leaf: number) => Values): Cpu {
  return {
    ...bare,
    cpuid(leaf) {
      const [eax, ebx, ecx, edx] = answer(leaf);
      return { eax, ebx, ecx, edx };
    },
  };
}

const KVM = [0x4b4d564b, 0x564b4d56, 0x0000004d] as const; // "KVMKVMKVM\0\0\0"
const HYPERV = [0x7263694d, 0x666f736f, 0x76482074] as const; // "Microsoft Hv"
const BHYVE = [0x76796862, 0x68622065, 0x20657679] as const; // "bhyve bhyve "
const VMWARE = [0x61774d56, 0x4d566572, 0x65726177] as const; // "VMwareVMware"
/** "IntelTDX    " as it stands in EBX, EDX, ECX; with EAX 0, the number of subleaves. */
const TDX = [0, 0x65746e49, 0x20202020, 0x5844546c] as const;
const NONE = [0, 0, 0, 0] as const;

test('two interfaces, one behind the other', async () => {
  const cpu = answering((leaf) =>
    leaf === 0x40000000 ? [0x4000000b, ...HYPERV] : leaf === 0x40000100 ? [0x40000101, ...KVM] : NONE,
  );
  assert.deepEqual(await scan(cpu), [
    { signature: 'Microsoft Hv', location: 0x40000000, maxLeaf: 0x4000000b },
    { signature: 'KVMKVMKVM\0\0\0', location: 0x40000100, maxLeaf: 0x40000101 },
  ]);
});

test('an interface in the last slot is found; beyond it none is looked for', async () => {
  const at = (there: number) => answering((leaf) => (leaf === there ? [leaf + 1, ...KVM] : NONE));
  assert.equal((await scan(at(0x4000ff00)))[0]?.location, 0x4000ff00);
  assert.deepEqual(await scan(at(0x40010000)), []);
  assert.deepEqual(await scan(at(0x40000080)), []);
});

test('absent leaves that echo the highest basic leaf are no interfaces', async () => {
  const echo: Values = [7, 0x240, 0x340, 0];
  const cpu = (there: number) =>
    answering((leaf) => (leaf === 0 ? [0xd, 1, 2, 3] : leaf === there ? [0x40000001, ...KVM] : echo));
  assert.deepEqual(await scan(cpu(0)), []);
  assert.deepEqual(
    (await scan(cpu(0x40000000))).map(({ location }) => location),
    [0x40000000],
  );
});

test('a text that is echoed is no interface: a TDX guest, whichever its highest basic leaf', async () => {
  for (const highest of [0x21, 0x23]) {
    const cpu = answering((leaf) => {
      if (leaf === 0) return [highest, 0x756e6547, 0x6c65746e, 0x49656e69];
      return leaf === 0x21 || leaf >= 0x40000000 ? TDX : NONE;
    });
    assert.deepEqual(await scan(cpu), []);
  }
});

test('an alias is found once: bhyve answers 40000000H to 7FFFFFFFH alike', async () => {
  for (const highest of [0x40000000, 0x40000001]) {
    const cpu = answering((leaf) => (leaf >= 0x40000000 && leaf <= 0x7fffffff ? [highest, ...BHYVE] : NONE));
    assert.deepEqual(await scan(cpu), [
      { signature: 'bhyve bhyve ', location: 0x40000000, maxLeaf: highest },
    ]);
  }
});

test('old KVM and v86 say that their highest leaf is 0, and are found', async () => {
  for (const values of [KVM, VMWARE]) {
    const cpu = answering((leaf) => (leaf === 0x40000000 ? [0, ...values] : NONE));
    assert.equal((await scan(cpu)).length, 1);
  }
});

test('zeros, and numbers that are no text and name no leaf of their own, are no interfaces', async () => {
  assert.deepEqual(await scan(bare), []);
  assert.deepEqual(await scan(answering((leaf) => (leaf === 0x40000200 ? [0x40000201, 0, 0, 0] : NONE))), []);
  assert.deepEqual(await scan(answering((leaf) => (leaf === 0x40000200 ? [5, 1, 2, 3] : NONE))), []);
});

test('hostile tables: 259 questions, never more than 256 interfaces, never a throw', async () => {
  const value = fc.oneof(fc.nat(3), fc.integer({ min: 0, max: 0xffffffff }), fc.constant(0xffffffff));
  const values = fc.tuple(value, value, value, value);
  const property = fc.asyncProperty(fc.array(values, { minLength: 1, maxLength: 300 }), async (rows) => {
    let asked = 0;
    const cpu = answering(() => rows[asked++ % rows.length]!);
    const found = await scan(cpu);
    assert.equal(asked, 259);
    assert.ok(found.length <= 256);
    assert.ok(found.every(({ signature }) => signature.length === 12 && /[^\0]/.test(signature)));
  });
  await fc.assert(property, { numRuns: 300 });
});
