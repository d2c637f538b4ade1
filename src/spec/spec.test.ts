/** The drafts' numbers, typed from the texts a second time: nothing here imports the constants that it checks. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import fc from 'fast-check';
import * as spec from './index.ts';

const u32 = fc.integer({ min: 0, max: 0xffff_ffff });
const regs = fc.record({ eax: u32, ebx: u32, ecx: u32, edx: u32 });
const signature = fc
  .uint8Array({ minLength: 12, maxLength: 12 })
  .map((bytes) => String.fromCharCode(...bytes));

test('"Discovery": EBX, ECX and EDX spell CommonHVIntf', () => {
  const words = { ebx: 0x6d6d_6f43, ecx: 0x5648_6e6f, edx: 0x6674_6e49 };
  assert.deepEqual(spec.encodeSignature('CommonHVIntf'), words);
  assert.equal(spec.decodeSignature(words), 'CommonHVIntf');
  assert.deepEqual(spec.encodeRoot(0x4f00_0003), { eax: 0x4f00_0003, ...words });
});

test('"Discovery": max_commonhv_leaf is a number between 4F000000H and 4FFFFFFFH', () => {
  const root = (eax: number): number | undefined =>
    spec.decodeRoot({ eax, ebx: 0x6d6d_6f43, ecx: 0x5648_6e6f, edx: 0x6674_6e49 });
  assert.equal(root(0x4f00_0000), 0x4f00_0000);
  assert.equal(root(0x4fff_ffff), 0x4fff_ffff);
  assert.equal(root(0x4eff_ffff), undefined);
  assert.equal(root(0x5000_0000), undefined);
  assert.equal(root(0xd), undefined);
});

test('one wrong bit in any of the twelve bytes is not CommonHV', () => {
  const right = { eax: 0x4f00_0003, ebx: 0x6d6d_6f43, ecx: 0x5648_6e6f, edx: 0x6674_6e49 };
  for (const name of ['ebx', 'ecx', 'edx'] as const) {
    for (let bit = 0; bit < 32; bit++) {
      const wrong = { ...right, [name]: (right[name] ^ (1 << bit)) >>> 0 };
      assert.equal(spec.decodeRoot(wrong), undefined);
    }
  }
});

test('the leaves are 4F000000H to 4F000003H, in a range that ends at 4FFFFFFFH', () => {
  assert.equal(spec.LEAF_ROOT, 0x4f00_0000);
  assert.equal(spec.LEAF_INTERFACES, 0x4f00_0001);
  assert.equal(spec.LEAF_FEATURES, 0x4f00_0002);
  assert.equal(spec.LEAF_MSRS, 0x4f00_0003);
  assert.equal(spec.LEAF_LAST, 0x4fff_ffff);
});

test('the hypervisor bit is bit 31 of CPUID.1.ECX, and no other bit changes with it', () => {
  fc.assert(
    fc.property(regs, fc.boolean(), (before, on) => {
      const after = spec.withHypervisorBit(before, on);
      assert.equal(spec.hasHypervisorBit(after), on);
      assert.deepEqual(after, { ...before, ecx: after.ecx });
      assert.equal(after.ecx, on ? (before.ecx | 0x8000_0000) >>> 0 : before.ecx & 0x7fff_ffff);
    }),
  );
});

test('a tuple is the location in EAX and the signature in EBX, ECX, EDX', () => {
  const tuple = { signature: 'KVMKVMKVM\0\0\0', location: 0x4000_0100 };
  const words = { eax: 0x4000_0100, ebx: 0x4b4d_564b, ecx: 0x564b_4d56, edx: 0x4d };
  assert.deepEqual(spec.encodeTuple(tuple), words);
  assert.deepEqual(spec.decodeTuple(words), tuple);
});

test('drafts 2 and 3, 4F000001H.0: EAX is N; draft 3: EBX is the preferred index', () => {
  assert.deepEqual(spec.encodeCount({ count: 2, preferred: 1 }), { eax: 2, ebx: 1, ecx: 0, edx: 0 });
});

test('draft 1, 4F000002H: EAX is an MSR index, 0 for none', () => {
  assert.deepEqual(spec.encodeRngIndex(0x4000_00a0), { eax: 0x4000_00a0, ebx: 0, ecx: 0, edx: 0 });
  assert.deepEqual(spec.encodeRngIndex(undefined), { eax: 0, ebx: 0, ecx: 0, edx: 0 });
  assert.equal(spec.decodeRngIndex({ eax: 0, ebx: 5, ecx: 5, edx: 5 }), undefined);
});

test('drafts 2 and 3, 4F000002H: bits 0 to 4 are RNG, input, generation, page, acknowledgement; EBX the number of draft 3', () => {
  const features = (bits: string, draft: number): number[] => {
    const [rng, rngInput, generation, page, ack] = [...bits].map((bit) => bit === '1') as boolean[];
    const offered = {
      rng: rng!,
      rngInput: rngInput!,
      generation: generation!,
      page: page!,
      ack: ack!,
      draft,
    };
    const { eax, ebx, ecx, edx } = spec.encodeFeatures(offered);
    return [eax, ebx, ecx, edx];
  };
  assert.deepEqual(features('10000', 0), [1, 0, 0, 0]);
  assert.deepEqual(features('11000', 0), [3, 0, 0, 0]);
  assert.deepEqual(features('00100', 3), [4, 3, 0, 0]);
  assert.deepEqual(features('00110', 3), [0xc, 3, 0, 0]);
  assert.deepEqual(features('00101', 3), [0x14, 3, 0, 0]);
  assert.deepEqual(features('11111', 3), [0x1f, 3, 0, 0]);
});

test('draft 3, 4F000003H: EBX bit 0 secure, bit 1 certainly not, neither or both no statement; EDX the page', () => {
  const at = (ebx: number): boolean | undefined => spec.decodeMsrLeaf({ eax: 0, ebx, ecx: 0, edx: 0 }).secure;
  assert.deepEqual([at(0), at(1), at(2), at(3)], [undefined, true, false, undefined]);
  const words = { eax: 0x4000_00a0, ebx: 1, ecx: 0x4000_00a1, edx: 0x4000_00a2 };
  const msrs = { rng: 0x4000_00a0, generation: 0x4000_00a1, page: 0x4000_00a2, secure: true };
  assert.deepEqual(spec.encodeMsrLeaf(msrs), words);
});

test('the page register: bits 63:12 the address, bit 0 enable, 0 disables, all else is invalid', () => {
  assert.equal(spec.encodePage(0x7f_e000), 0x7f_e001n);
  assert.equal(spec.decodePage(0n), undefined);
  assert.equal(spec.decodePage(0x7f_e001n), 0x7f_e000);
  assert.equal(spec.decodePage(1n), 0); // page 0 is a page
  assert.equal(spec.decodePage(0xffff_ffff_ffff_f001n), 0xffff_ffff_ffff_f000);
  for (const wrong of [2n, 0x1000n, 0x1003n, 0x1801n, 0xfffn, 0x8000_0000_0000_0000n])
    assert.equal(spec.decodePage(wrong), 'invalid', wrong.toString(16));
  assert.deepEqual([spec.PAGE_SIZE, spec.PAGE_GENERATION, spec.PAGE_RESEEDED], [4096, 0, 8]);
});

test('the preferred tuple: its index from 1; 0 and anything beyond the list mean the first', () => {
  const list = ['a', 'b'];
  assert.deepEqual(
    [undefined, 0, 1, 2, 3, 0xffff_ffff].map((index) => spec.preferredTuple(list, index)),
    ['a', 'a', 'a', 'b', 'a', 'a'],
  );
  assert.equal(spec.preferredTuple([], 1), undefined);
});

test('what is encoded is decoded, for generated values', () => {
  fc.assert(
    fc.property(signature, u32, u32, u32, (text, location, count, preferred) => {
      assert.equal(spec.decodeSignature(spec.encodeSignature(text)), text);
      const tuple = { signature: text, location };
      assert.deepEqual(spec.decodeTuple(spec.encodeTuple(tuple)), tuple);
      assert.deepEqual(spec.decodeCount(spec.encodeCount({ count, preferred })), { count, preferred });
      const msr = location === 0 ? undefined : location;
      assert.equal(spec.decodeRngIndex(spec.encodeRngIndex(msr)), msr);
      const secure = [true, false, undefined][preferred % 3];
      const registers = { rng: location, generation: count, page: preferred, secure };
      assert.deepEqual(spec.decodeMsrLeaf(spec.encodeMsrLeaf(registers)), registers);
      const features = {
        rng: count % 2 > 0,
        rngInput: location % 2 > 0,
        generation: preferred % 2 > 0,
        page: count % 4 > 1,
        ack: location % 4 > 1,
        draft: 3,
      };
      assert.deepEqual(spec.decodeFeatures(spec.encodeFeatures(features)), features);
    }),
  );
});

test('a signature of another length, or with a character above one byte, is a RangeError', () => {
  for (const wrong of ['', 'KVMKVMKVM', 'CommonHVIntf\0', 'CommonHVInt€']) {
    assert.throws(() => spec.encodeSignature(wrong), RangeError);
  }
});

test('which draft: each of the five questions, in their order', () => {
  const none = { eax: 0, ebx: 0, ecx: 0, edx: 0 };
  const which = (maxLeaf: number, interfaces: object, features: object): number | undefined =>
    spec.whichDraft({ maxLeaf, interfaces: { ...none, ...interfaces }, features: { ...none, ...features } });
  assert.equal(which(0x4f00_0003, {}, {}), 2);
  assert.equal(which(0x4f00_0003, { ebx: 1 }, { eax: 7, ebx: 3 }), 3);
  assert.equal(which(0x4fff_ffff, {}, { ebx: 4 }), 3);
  assert.equal(which(0x4f00_0002, {}, { ebx: 3 }), 3);
  assert.equal(which(0x4f00_0002, { eax: 1 }, { eax: 0x4000_00a0 }), 1);
  for (const name of ['ebx', 'ecx', 'edx']) assert.equal(which(0x4f00_0001, { eax: 1, [name]: 1 }, {}), 1);
  assert.equal(which(0x4f00_0001, { eax: 1 }, {}), 2);
  assert.equal(which(0x4f00_0002, {}, {}), undefined);
});

test('which draft: what lies above max_commonhv_leaf counts as zeros', () => {
  const full = { eax: 9, ebx: 9, ecx: 9, edx: 9 };
  assert.equal(spec.whichDraft({ maxLeaf: 0x4f00_0000, interfaces: full, features: full }), undefined);
  assert.equal(spec.whichDraft({ maxLeaf: 0x4f00_0001, interfaces: full, features: full }), 1);
});

test('our default MSRs lie where nobody but old Xen is: A0H to A2H of the reserved range', () => {
  assert.equal(spec.DEFAULT_RNG_MSR, 0x4000_00a0);
  assert.equal(spec.DEFAULT_GENERATION_MSR, 0x4000_00a1);
  assert.equal(spec.DEFAULT_PAGE_MSR, 0x4000_00a2);
  const owns = (name: string, index: number, page?: number): boolean =>
    spec.ownedMsrs(name, page).some(({ first, last }) => index >= first && index <= last);
  const edges: [string, number, boolean][] = [
    ['Microsoft Hv', 0x4000_0000, true],
    ['Microsoft Hv', 0x4000_009f, true],
    ['Microsoft Hv', 0x4000_00a0, false],
    ['Microsoft Hv', 0x4000_00af, false],
    ['Microsoft Hv', 0x4000_00b0, true],
    ['Microsoft Hv', 0x4000_01ff, true],
    ['Microsoft Hv', 0x4000_0200, false],
    ['Microsoft Hv', 0x4000_1001, false],
    ['Microsoft Hv', 0x4000_1002, true],
    ['Microsoft Hv', 0x4000_1003, false],
    ['Microsoft Hv', 0x4000_107f, false],
    ['Microsoft Hv', 0x4000_1080, true],
    ['Microsoft Hv', 0x4000_109f, true],
    ['Microsoft Hv', 0x4000_10a0, false],
    ['Linux KVM Hv', 0x4000_1002, true],
    ['KVMKVMKVM\0\0\0', 0x10, false],
    ['KVMKVMKVM\0\0\0', 0x11, true],
    ['KVMKVMKVM\0\0\0', 0x12, true],
    ['KVMKVMKVM\0\0\0', 0x13, false],
    ['KVMKVMKVM\0\0\0', 0x4b56_4d00, true],
    ['KVMKVMKVM\0\0\0', 0x4b56_4dff, true],
    ['KVMKVMKVM\0\0\0', 0x4b56_4e00, false],
    ['TCGTCGTCGTCG', 0x4000_00a0, false],
  ];
  for (const [name, index, owned] of edges) assert.equal(owns(name, index), owned, `${name} ${index}`);
  assert.equal(owns('XenVMMXenVMM', 0x4000_00a0), true);
  assert.equal(owns('XenVMMXenVMM', 0x4000_00a0, 0x4000_0200), false);
  assert.equal(owns('XenVMMXenVMM', 0x4000_0200, 0x4000_0200), true);
  assert.equal(owns('XenVMMXenVMM', 0x4000_00a0, 0x4000_0000), true);
  assert.equal(owns('XenVMMXenVMM', 0x4000_00a0, 0x1234), true); // a page elsewhere says nothing
});

test('an MSR of the architecture has its name; those of the range for hypervisors have none', () => {
  assert.equal(spec.architecturalMsr(0), 'IA32_P5_MC_ADDR');
  assert.equal(spec.architecturalMsr(0x10), 'IA32_TIME_STAMP_COUNTER');
  assert.match(spec.architecturalMsr(0xc000_0080) ?? '', /EFER/);
  for (const free of [0x11, 0x4000_0000, 0x4000_00a0, 0x4000_00ff, 0x4b56_4d00, 0xffff_ffff])
    assert.equal(spec.architecturalMsr(free), undefined, free.toString(16));
  const rows = spec.ARCHITECTURAL_MSRS;
  for (const [i, { first, last }] of rows.entries())
    assert.ok(first <= last && (i === 0 || first > rows[i - 1]!.last), first.toString(16));
});

// Signatures as other projects list them, each row with its sources.
const table = 'test/fixtures/signatures.tsv';
test('the known signatures hold every row of the collected table, with its registers', () => {
  const rows = readFileSync(table, 'utf8').trim().split('\n').slice(1);
  for (const row of rows) {
    const [quoted, ebx, ecx, edx, where] = row.split('\t');
    const words = { ebx: Number(ebx), ecx: Number(ecx), edx: Number(edx) };
    const text = quoted!.slice(1, -1).replaceAll('\\x00', '\0');
    const vendor = where!.includes('EBX,EDX,ECX');
    const list: readonly spec.Known[] = vendor ? spec.KNOWN_VENDORS : spec.KNOWN;
    assert.ok(
      list.some((known) => known.signature === text),
      `${quoted} is not known`,
    );
    const order = vendor ? { ebx: words.ebx, ecx: words.edx, edx: words.ecx } : words;
    assert.equal(spec.decodeSignature(order), text, `${quoted}: registers`);
  }
  assert.equal(rows.length, 40);
  // Three from public reports stand in no such list.
  assert.equal(spec.KNOWN.length + spec.KNOWN_VENDORS.length, rows.length + 3);
});

test('no two products share a signature, and each is twelve bytes', () => {
  const all = [...spec.KNOWN, ...spec.KNOWN_VENDORS].map(({ signature: text }) => text);
  assert.equal(new Set(all).size, all.length);
  for (const text of all) assert.equal(text.length, 12, JSON.stringify(text));
  assert.equal(spec.productOf('KVMKVMKVM\0\0\0'), 'Linux KVM');
  assert.equal(spec.productOf('nobody knows'), undefined);
});
