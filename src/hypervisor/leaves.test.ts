import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { bare } from '../cpu.ts';
import {
  type Draft,
  decodeCount,
  decodeFeatures,
  decodeMsrLeaf,
  decodeRngIndex,
  decodeRoot,
  decodeTuple,
  type Tuple,
  whichDraft,
} from '../spec/index.ts';
import { type CommonhvOptions, commonhv, countingSource } from './index.ts';

const u32 = fc.integer({ min: 0x4000_0000, max: 0xbfff_ffff });
// 'x' first: no draft 1 list with a signature of NULs, and none that owns an MSR
const byte = fc.integer({ min: 0, max: 255 });
const tuple = fc.record(
  {
    signature: fc
      .array(byte, { minLength: 11, maxLength: 11 })
      .map((rest) => `x${String.fromCharCode(...rest)}`),
    location: u32,
  },
  { noNullPrototype: true },
);
const described = fc.record({
  draft: fc.constantFrom<Draft>(1, 2, 3),
  interfaces: fc.array(tuple, { maxLength: 12 }),
  preferred: fc.nat(),
  rng: fc.option(
    fc.record({
      msr: u32,
      input: fc.constantFrom('none', 'ignore', 'mix'),
      secure: fc.constantFrom(undefined, false),
    }),
  ),
  generation: fc.option(u32),
  page: fc.option(u32),
  ack: fc.boolean(),
});
const memory = { isRam: () => true, store() {}, load: () => 0n };

test('any machine that a draft can express is read back from its leaves', () => {
  fc.assert(
    fc.property(described, ({ draft, interfaces, preferred, rng, generation, page, ack }) => {
      const indices = [rng?.msr, generation, page].filter((index) => typeof index === 'number');
      fc.pre(new Set(indices).size === indices.length);
      // The layer refuses the architecture's MSRs, and tuples of CommonHV's own range or that come twice (options.test.ts).
      fc.pre(indices.every((index) => index >= 0x4000_0000 && index < 0xc000_0000));
      fc.pre(interfaces.every(({ location }) => location < 0x4f00_0000 || location > 0x4fff_ffff));
      fc.pre(new Set(interfaces.map((tuple) => JSON.stringify(tuple))).size === interfaces.length);
      const prefer = draft === 3 && interfaces.length > 0 ? (preferred % interfaces.length) + 1 : undefined;
      const input = rng && draft === 1 && rng.input === 'none' ? 'ignore' : rng?.input;
      const options: CommonhvOptions = {
        draft,
        interfaces,
        ...(prefer && { preferred: prefer }),
        ...(rng && {
          rng: { msr: rng.msr, input: input as 'none', source: { ...countingSource(), secure: rng.secure } },
        }),
        ...(draft === 3 &&
          generation !== null && {
            generation: { msr: generation, ack, page: page !== null, pageMsr: page ?? undefined },
          }),
      };
      const { cpuid } = commonhv(options)({ ...bare, memory });
      const maxLeaf = decodeRoot(cpuid(0x4f00_0000, 0)) ?? 0;
      const first = cpuid(0x4f00_0001, 0);
      const features = decodeFeatures(cpuid(0x4f00_0002, 0));
      const found = whichDraft({ maxLeaf, interfaces: first, features: cpuid(0x4f00_0002, 0) });
      const list: Tuple[] = [];
      const offset = draft === 1 ? 0 : 1;
      for (let i = 0; i < interfaces.length; i++) list.push(decodeTuple(cpuid(0x4f00_0001, i + offset)));
      assert.deepEqual(list, interfaces);
      for (const i of [list.length + offset, 0xffff_ffff]) {
        assert.deepEqual(cpuid(0x4f00_0001, i), { eax: 0, ebx: 0, ecx: 0, edx: 0 });
      }
      if (draft === 1) {
        assert.equal(decodeRngIndex(cpuid(0x4f00_0002, 0)), rng?.msr);
        assert.equal(found, interfaces.length > 0 || rng ? 1 : undefined);
        return;
      }
      assert.deepEqual(decodeCount(first), { count: interfaces.length, preferred: prefer ?? 0 });
      const registers = decodeMsrLeaf(cpuid(0x4f00_0003, 0));
      const generated = draft === 3 && generation !== null;
      assert.deepEqual(features, {
        rng: rng !== null,
        rngInput: rng !== null && input !== 'none',
        generation: generated,
        page: generated && page !== null,
        ack: generated && ack,
        draft: draft === 3 ? 3 : 0,
      });
      if (rng)
        assert.deepEqual([registers.rng, registers.secure], [rng.msr, draft === 3 ? rng.secure : undefined]);
      if (generated) assert.deepEqual([registers.generation, registers.page], [generation, page ?? 0]);
      assert.equal(maxLeaf, rng || generated ? 0x4f00_0003 : 0x4f00_0002);
      assert.equal(found, draft === 3 || rng || interfaces.length > 0 ? draft : undefined);
    }),
    { numRuns: 2000 },
  );
});
