/** For every description that a draft can express: what a hypervisor encodes, a guest detects and decodes to the same. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { model } from 'commonhv/engines/model';
import { discover } from 'commonhv/guest';
import {
  type CommonhvOptions,
  commonhv,
  countingSource,
  maskCommonhv,
  systemSource,
} from 'commonhv/hypervisor';
import type { Draft, Tuple } from 'commonhv/spec';
import fc from 'fast-check';

/** High MSR indices, which neither a known interface nor the architecture owns. */
const msr = fc.integer({ min: 0x5000_0000, max: 0xbfff_ffff });
const signature = fc.oneof(
  fc.constantFrom('KVMKVMKVM\0\0\0', 'Microsoft Hv', 'XenVMMXenVMM'),
  fc.uint8Array({ minLength: 11, maxLength: 11 }).map((bytes) => `x${String.fromCharCode(...bytes)}`),
);
const tuple: fc.Arbitrary<Tuple> = fc
  .tuple(signature, fc.integer({ min: 0, max: 0x4eff_ffff }))
  .map(([signature, location]) => ({ signature, location }));
const described = fc.record({
  draft: fc.constantFrom<Draft>(1, 2, 3),
  interfaces: fc.uniqueArray(tuple, {
    maxLength: 20,
    selector: ({ signature, location }) => `${location} ${signature}`,
  }),
  preferred: fc.nat(20),
  rng: fc.option(
    fc.record({ msr, input: fc.boolean(), secure: fc.option(fc.boolean(), { nil: undefined }) }),
    { nil: undefined },
  ),
  generation: fc.option(msr, { nil: undefined }),
});

test('encode, detect and decode gives the description back, for each draft', async () => {
  await fc.assert(
    fc.asyncProperty(
      described,
      fc.boolean(),
      async ({ draft, interfaces, preferred, rng, generation }, bit) => {
        // What a draft cannot express is not asked of it.
        fc.pre(draft !== 3 || rng === undefined || rng.msr !== generation);
        const prefers = draft === 3 && preferred >= 1 && preferred <= interfaces.length;
        const options: CommonhvOptions = {
          draft,
          hypervisorBit: bit,
          interfaces,
          ...(prefers && { preferred }),
          ...(rng && {
            rng: {
              msr: rng.msr,
              source: { ...systemSource(), secure: rng.secure },
              input: rng.input || draft === 1 ? 'ignore' : 'none',
            },
          }),
          ...(draft === 3 && generation !== undefined && { generation: { msr: generation, page: false } }),
        };
        const found = await discover(model(commonhv(options)));
        assert.ok(found);
        // Nothing at all: every reading says the same, and the draft does not matter.
        const nothing = draft !== 3 && interfaces.length === 0 && rng === undefined;
        assert.equal(found.draft, nothing ? undefined : draft);
        assert.deepEqual(
          found.interfaces.map(({ signature, location }) => ({ signature, location })),
          interfaces,
        );
        assert.equal(found.preferred, prefers ? preferred : undefined);
        assert.deepEqual(
          found.rng,
          rng && {
            msr: rng.msr,
            input: rng.input || draft === 1,
            secure: draft === 3 ? rng.secure : undefined,
          },
        );
        assert.deepEqual(
          found.generation,
          draft === 3 && generation !== undefined
            ? { msr: generation, ack: true, pageMsr: undefined }
            : undefined,
        );
      },
    ),
    { numRuns: 2000 },
  );
});

test('a hypervisor that serves no CommonHV to its guests hides that of the hypervisor below', async () => {
  const host = commonhv({ rng: { source: countingSource() } });
  assert.ok(await discover(model(host)));
  assert.equal(await discover(model((cpu) => maskCommonhv(host(cpu)))), undefined);
});

test('nested: the inner hypervisor answers, whatever the outer one offers', async () => {
  const outer = commonhv({ draft: 1, interfaces: [{ signature: 'KVMKVMKVM\0\0\0', location: 0x4000_0000 }] });
  const inner = commonhv({ draft: 3, rng: { source: countingSource() } });
  const found = await discover(model((cpu) => inner(outer(cpu))));
  assert.equal(found?.draft, 3);
  assert.deepEqual(found?.interfaces, []);
});
