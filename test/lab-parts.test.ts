/** The lab's parts that need no browser: the address, the words of the drafts, the guest's generator, the timeline's store. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { rulesOf } from 'commonhv/conformance';
import type { Draft } from 'commonhv/spec';
import { formatSignature, parseSignature } from 'commonhv/spec';
import fc from 'fast-check';
import { chacha20 } from '../lab/model/chacha.ts';
import { faultyNames } from '../lab/model/faulty.ts';
import { listText } from '../lab/model/interface-text.ts';
import { eventText, nearest } from '../lab/model/reading.ts';
import { sentenceId, sentenceLink } from '../lab/model/sentence.ts';
import { DEFAULTS, fromFragment, type Settings, toFragment } from '../lab/model/settings.ts';
import { readStateFile, writeStateFile } from '../lab/model/state-file.ts';
import { Store } from '../lab/model/store.ts';
import { callName } from '../lab/model/text.ts';
import { fieldsOf, REGISTERS, titleOf } from '../lab/model/words.ts';

const draft3 = readFileSync('docs/draft3.md', 'utf8').replace(/\s+/g, ' ');
const u32 = fc.integer({ min: 0, max: 0xffff_ffff });
const signature = fc
  .uint8Array({ minLength: 12, maxLength: 12 })
  .map((bytes) => String.fromCharCode(...bytes));

const settings: fc.Arbitrary<Settings> = fc
  .record(
    {
      engine: fc.constantFrom('v86' as const, 'model' as const),
      commonhv: fc.boolean(),
      draft: fc.constantFrom<Draft>(1, 2, 3),
      hypervisorBit: fc.boolean(),
      interfaces: fc.array(fc.record({ signature, location: u32 }, { noNullPrototype: true }), {
        maxLength: 16,
      }),
      preferred: fc.integer({ min: 0, max: 16 }),
      rng: fc.boolean(),
      rngMsr: u32,
      source: fc.constantFrom('os' as const, 'stuck' as const, 'counting' as const),
      input: fc.constantFrom('none' as const, 'ignore' as const, 'mix' as const),
      generation: fc.boolean(),
      generationMsr: u32,
      faulty: fc.constantFrom(...faultyNames()),
      memory: fc.integer({ min: 4, max: 1024 }),
      compare: fc.constantFrom<Draft | 0>(0, 1, 2, 3),
    },
    { noNullPrototype: true },
  )
  .map((all) => (all.draft === 1 && all.input === 'none' ? { ...all, input: 'ignore' as const } : all))
  // Twelve NULs have no text: the form cannot hold them.
  .filter(({ interfaces }) => interfaces.every((tuple) => /[^\0]/.test(tuple.signature)));

test('an address gives back the settings that it was made from', () => {
  fc.assert(
    fc.property(settings, (all) => {
      const { settings: read, problems } = fromFragment(`#${toFragment(all)}`, faultyNames);
      assert.deepEqual([read, problems], [all, []]);
    }),
  );
});

test('any address gives settings that make sense, and names what it did not understand', () => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.webFragments()), (fragment) => {
      const { settings: read, problems } = fromFragment(fragment, faultyNames);
      assert.deepEqual(fromFragment(toFragment(read), faultyNames).settings, read);
      assert.ok(problems.every((problem) => problem.length < 200));
    }),
  );
  const nothing = { settings: DEFAULTS, story: undefined, embedded: false, problems: [] };
  assert.deepEqual(fromFragment('', faultyNames), nothing);
  assert.deepEqual(fromFragment('#faulty=no.such', faultyNames).problems, [
    'faulty: expected the name of a faulty hypervisor, as the form has them, got “no.such”',
  ]);
  assert.equal(fromFragment('#story=copies&embed=1', faultyNames).story, 'copies');
});

test('a signature is read as it was written', () => {
  fc.assert(
    fc.property(
      signature.filter((text) => /[^\0]/.test(text)),
      (text) => assert.equal(parseSignature(formatSignature(text)), text),
    ),
  );
});

test('the words beside the bits are draft 3’s own', () => {
  const leaves = [0x4f00_0000, 0x4f00_0001, 0x4f00_0002, 0x4f00_0003, 1];
  let seen = 0;
  for (const leaf of leaves) {
    for (const subleaf of leaf === 0x4f00_0001 ? [0, 1] : [0]) {
      for (const register of REGISTERS) {
        for (const { words } of fieldsOf(3, leaf, subleaf, register)) {
          assert.ok(draft3.includes(words), words);
          seen++;
        }
      }
    }
  }
  assert.ok(seen > 20);
});

test('the fields of a register are in order and do not overlap, in every draft', () => {
  for (const draft of [1, 2, 3] as const) {
    for (const leaf of [1, 0x4f00_0000, 0x4f00_0001, 0x4f00_0002, 0x4f00_0003]) {
      for (const register of REGISTERS) {
        let next = 0;
        for (const { first, last } of fieldsOf(draft, leaf, 0, register)) {
          assert.ok(first >= next && last >= first && last <= 31);
          next = last + 1;
        }
      }
    }
  }
});

test('every sentence of draft 3 that a rule quotes has a name that draft 3 gives it', () => {
  const named = new Set(
    [...readFileSync('docs/draft3.md', 'utf8').matchAll(/^- (.*)$/gm)].map(([, line]) => sentenceId(line!)),
  );
  for (const { text, level } of rulesOf(3)) {
    if (level !== 'MUST' && level !== 'SHOULD') continue;
    const [, name] = sentenceLink(3, text).split('draft3.html#');
    assert.ok(named.has(name!), text);
  }
});

test('equal interfaces in a row are counted, and the list ends by name', () => {
  const entry = { signature: 'VMwareVMware', location: 0x4000_0000, product: 'VMware', confirmed: true };
  const listed = { ...entry, source: 'commonhv' as const };
  const other = { ...listed, location: 0x4000_0100 };
  assert.equal(listText(Array(256).fill(listed)), '256 × VMware at 40000000H.');
  assert.equal(
    listText([listed, listed, other], 3),
    '2 × VMware at 40000000H, VMware at 40000100H (preferred).',
  );
  assert.equal(listText([]), 'No interface is listed.');
  const row = (subleaf: number, eax: number) => ({ leaf: 0x4f00_0001, subleaf, eax, ebx: 0, ecx: 0, edx: 0 });
  const rows = [row(0, 1), row(1, 0x4000_0000), row(2, 0)];
  assert.equal(titleOf(3, 0x4f00_0001, 1, rows), 'CommonHV: interface 1');
  assert.equal(titleOf(3, 0x4f00_0001, 2, rows), 'CommonHV: end of the list');
  assert.equal(titleOf(1, 0x4f00_0001, 2, rows), 'CommonHV: end of the list');
});

test('a saved machine as a file is read as it was written, and anything else is refused in one line', async () => {
  const saved = {
    state: Uint8Array.of(1, 2, 3),
    draws: { key: Uint32Array.from({ length: 8 }, (_, i) => i), counter: 7, generation: 0x1_0000_0002n },
    generation: 0x1_0000_0002n,
    probe: true,
  };
  const machine = { saved, settings: { ...DEFAULTS, draft: 2 as const } };
  const bytes = new Uint8Array(await writeStateFile(machine).arrayBuffer());
  assert.deepEqual(readStateFile(bytes), machine);
  for (const wrong of [new Uint8Array(0), bytes.subarray(0, 18), new Uint8Array(64)])
    assert.throws(() => readStateFile(wrong), /^Error: not a machine that the lab saved, or cut off$/);
  const broken = bytes.slice();
  broken.fill(0x20, 24, 40);
  assert.throws(() => readStateFile(broken), /its description is broken$/);
});

test('a leaf is named with what the guest left in ECX', () => {
  assert.equal(callName(0x4f00_0001, 2), '4F000001H.2');
  assert.equal(callName(1, 0x6c65_746e), '1H.6C65746EH');
});

test('ChaCha20 gives the block of RFC 8439, 2.3.2', () => {
  const key = new Uint32Array(Uint8Array.from({ length: 32 }, (_, i) => i).buffer);
  const block = chacha20(key, 1, [0x0900_0000, 0x4a00_0000, 0]);
  assert.equal(
    Buffer.from(block.buffer).toString('hex'),
    '10f1e7e4d13b5915500fdd1fa32071c4c7d1f4c733c068030422aa9ac3d46c4ed2826446079faa0914c2d705d98b02a2b5129cd1de164eb9cbd083e8a2503c4e',
  );
});

test('the store keeps what it can draw, counts the rest, and finds the scan', () => {
  const kept = new Store();
  const steps = Array.from({ length: 256 }, (_, i) => 0x4000_0000 + 0x100 * i);
  const numbers = Uint32Array.from([1, ...steps, 0x4f00_0000]);
  const events = {
    times: Float64Array.from(numbers, (_, i) => i),
    ops: new Uint8Array(numbers.length),
    numbers,
    subleaves: new Uint32Array(numbers.length),
  };
  kept.add(events);
  assert.deepEqual(kept.scans, [{ start: 1, end: 256, steps: 256 }]);
  assert.equal(kept.scanned, 256);
  assert.deepEqual([...kept.numbers.subarray(0, kept.length)], [...numbers]);
  const many = {
    times: new Float64Array(1 << 20),
    ops: new Uint8Array(1 << 20),
    numbers: new Uint32Array(1 << 20),
    subleaves: new Uint32Array(1 << 20),
  };
  for (let i = 0; i < 3; i++) kept.add(many);
  assert.equal(kept.length, 1 << 21);
  assert.equal(kept.total, numbers.length + 3 * (1 << 20));
});

test('the event that is read is the nearest, of the row that is pointed at where one is near', () => {
  const kept = new Store();
  kept.add({
    times: Float64Array.of(1, 2, 3, 4),
    ops: Uint8Array.of(0, 1, 0, 5),
    numbers: Uint32Array.of(1, 0x4000_00a0, 0x4f00_0001, 0x1234),
    subleaves: Uint32Array.of(0x6c65_746e, 0, 2, 0),
  });
  const isRead = (at: number) => kept.ops[at] === 1;
  assert.equal(nearest(kept, 3.1, 2, isRead), 1);
  assert.equal(nearest(kept, 3.1, 0.5, isRead), 2);
  assert.equal(nearest(kept, 99, 1, isRead), 3);
  assert.equal(nearest(new Store(), 1, 1, isRead), undefined);
  assert.deepEqual(
    [0, 1, 2, 3].map((at) => eventText(kept, at).replace(/^event (.) of 4, at \1 ms: /, '')),
    ['CPUID 1H.6C65746EH', 'RDMSR 400000A0H', 'CPUID 4F000001H.2', 'RDMSR 1234H, a fault'],
  );
});
