// A sentence that gives leave: a hypervisor that takes it and one that does not both pass.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Layer, SyncCpu } from 'commonhv';
import { isChecked, rules, verify } from 'commonhv/conformance';
import { stuckSource } from 'commonhv/hypervisor';
import type { Draft } from 'commonhv/spec';
import { right, stage } from './support/harness.ts';

/** The right hypervisor over a processor on which the listed interfaces are nowhere. */
const unconfirmed =
  (layer: Layer): Layer =>
  (host) => {
    const nothing = { eax: 0, ebx: 0, ecx: 0, edx: 0 };
    const bare: SyncCpu = {
      ...host,
      cpuid: (leaf, sub) => (leaf >>> 28 === 4 ? nothing : host.cpuid(leaf, sub)),
    };
    return layer(bare);
  };
type Pair = (draft: Draft) => readonly [does: Layer, doesNot: Layer];
const without = (draft: Draft): Layer =>
  right(draft, undefined, { interfaces: [{ signature: 'KVMKVMKVM\0\0\0', location: 0x4000_0000 }] });

const PAIRS: Readonly<Record<string, Pair>> = {
  'discovery.bit-hidden': (draft) => [right(draft, undefined, { hypervisorBit: false }), right(draft)],
  'interfaces.location': (draft) => [unconfirmed(without(draft)), without(draft)],
  'rng.zero': (draft) => [right(draft, undefined, { rng: { source: stuckSource(0n) } }), right(draft)],
  'rng.use': (draft) => [right(draft, 'mix'), right(draft, 'ignore')],
};

const mays = rules.filter((rule) => rule.level === 'MAY' && isChecked(rule));

test('every MAY that is checked has its pair', () => {
  assert.deepEqual([...new Set(mays.map(({ id }) => id))].sort(), Object.keys(PAIRS).sort());
});

for (const { id, drafts } of mays) {
  for (const draft of drafts) {
    test(`draft ${draft}: ${id} is passed by a hypervisor that does and by one that does not`, async () => {
      const details: (string | undefined)[] = [];
      for (const layer of PAIRS[id]!(draft)) {
        const report = await verify(stage(layer).cpu, { draft });
        const result = report.rules.find((rule) => rule.id === id);
        assert.equal(result?.outcome, 'passed', result?.detail);
        assert.equal(report.failed, id === 'rng.zero' && draft === 3 ? 1 : 0);
        details.push(result?.detail);
      }
      // Whether what is written is used cannot be seen; everything else is told.
      if (id !== 'rng.use') assert.notEqual(details[0], details[1]);
    });
  }
}
