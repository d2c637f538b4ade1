import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bare } from '../cpu.ts';
import { type Config, fromConfig, type LayerEvent, resolveConfig } from './config.ts';

test('data survives being sent and makes the layer that the options would', () => {
  const data: Config = {
    draft: 3,
    interfaces: [{ signature: 'KVMKVMKVM\0\0\0', location: 0x4000_0000 }],
    preferred: 1,
    rng: { source: 'counting', msr: 0x4000_00a5, input: 'ignore' },
    generation: {},
  };
  const cpu = fromConfig(structuredClone(data))(bare);
  assert.deepEqual(cpu.cpuid(0x4f00_0001, 0), { eax: 1, ebx: 1, ecx: 0, edx: 0 });
  assert.deepEqual([cpu.rdmsr(0x4000_00a5), cpu.rdmsr(0x4000_00a5)], [1n, 2n]);
  assert.equal(cpu.wrmsr(0x4000_00a5, 1n), undefined);
  assert.equal(typeof cpu.rdmsr(0x4000_00a1), 'bigint');
});

test('every report of the layer reaches the function that goes with the data', () => {
  const events: LayerEvent[] = [];
  const cpu = fromConfig({ rng: { source: 'os' }, generation: {} }, (event) => events.push(event))(bare);
  const generation = cpu.rdmsr(0x4000_00a1) as bigint;
  assert.equal(cpu.wrmsr(0x4000_00a1, generation), undefined);
  assert.equal(cpu.wrmsr(0x4000_00a1, generation), undefined);
  const [event, ...more] = events;
  assert.deepEqual(more, []);
  assert.ok(event?.kind === 'acknowledged' && event.milliseconds >= 0 && event.milliseconds < 60_000);
  assert.deepEqual(structuredClone(events), events);
});

test('without an rng or a generation there is none', () => {
  const cpu = fromConfig({})(bare);
  assert.equal(cpu.rdmsr(0x4000_00a0), '#GP');
  assert.equal(cpu.rdmsr(0x4000_00a1), '#GP');
});

test('a source that is not one is refused by name', () => {
  const data = { rng: { source: 'toString' } } as unknown as Config;
  assert.throws(
    () => fromConfig(data),
    /^RangeError: rng\.source: expected os, stuck, counting, got toString$/,
  );
});

test('one resolver for every configuration: defaults are filled in, and a wrong field is refused by its name', () => {
  const { draft, hypervisorBit, rng, generation } = resolveConfig({ rng: { source: 'os' }, generation: {} });
  assert.deepEqual([draft, hypervisorBit, rng?.msr, rng?.input], [3, true, 0x4000_00a0, 'none']);
  assert.deepEqual([generation?.msr, generation?.pageMsr, generation?.ack], [0x4000_00a1, 0x4000_00a2, true]);
  const refused: readonly (readonly [unknown, RegExp])[] = [
    [null, /^TypeError: config: expected an object, got null$/],
    [{ drafts: 3 }, /^TypeError: drafts: expected one of the fields draft, hypervisorBit, /],
    [{ rng: 'os' }, /^TypeError: rng: expected an object, got os$/],
    [
      { rng: { source: 'os', mrs: 1 } },
      /^TypeError: rng\.mrs: expected one of the fields source, msr, input, fallback$/,
    ],
    [{ rng: { source: 'os', msr: -1 } }, /^RangeError: rng\.msr: /],
    [
      { generation: { next: 1 } },
      /^TypeError: generation\.next: expected one of the fields msr, ack, page, pageMsr$/,
    ],
    [{ draft: 1, generation: {} }, /^TypeError: generation: draft 1 has no generation register/],
    [{ draft: 4 }, /^RangeError: draft: /],
  ];
  for (const [config, message] of refused) {
    assert.throws(() => resolveConfig(config as Config), message);
    assert.throws(() => fromConfig(config as Config), message);
  }
});
