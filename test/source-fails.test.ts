/** A source that fails under a running guest: the guest sees no exception, and the owner hears of it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Engine, type Layer, MachineError } from 'commonhv';
import { kvm } from 'commonhv/engines/kvm';
import { v86 } from 'commonhv/engines/v86';
import { commonhv, type RngOptions, type SourceFailure, systemSource } from 'commonhv/hypervisor';
import { HALT, kernel, send, u32, whole } from './support/guests.ts';
import { notInBed, skip } from './support/kvm-availability.ts';
import { scaled } from './support/time.ts';

// mov ecx, RNG; mov esi, 5000; rdmsr; dec esi; jnz; then 'b'
const read = [0xb9, ...u32(0x4000_00a0), 0xbe, ...u32(5000), 0x0f, 0x32, 0x4e, 0x75, 0xfb];
const image = { kernel: kernel([...read, ...send('b'), ...HALT]) };

/** Well at the start, which draws twice, and gone when the guest has read what was read ahead. */
function failing(fallback: NonNullable<RngOptions['fallback']>): { layer: Layer; failures: SourceFailure[] } {
  const failures: SourceFailure[] = [];
  const os = systemSource();
  let draws = 2;
  const fill = (bytes: Uint8Array<ArrayBuffer>) => {
    if (draws-- === 0) throw new Error('unplugged');
    os.fill(bytes);
  };
  const onFailure = (failure: SourceFailure) => void failures.push(failure);
  return {
    layer: commonhv({ rng: { source: { ...os, name: 'stick', fill }, fallback, onFailure } }),
    failures,
  };
}

const engines: [string, () => Engine, false | string][] = [
  ['v86', () => v86({ memory: 4 * 2 ** 20 }), notInBed],
  ['kvm', () => kvm({ memory: 4 * 2 ** 20 }), skip],
];
for (const [name, engine, skip] of engines) {
  test(`${name}: a generator goes on, unseen by the guest`, { skip, timeout: scaled(60_000) }, async () => {
    const { layer, failures } = failing('generator');
    const machine = await engine().start(layer, image);
    assert.equal(await whole(machine.console.readable), 'b');
    assert.equal((await machine.ended).reason, 'halt');
    await machine.close();
    assert.deepEqual(
      failures.map(({ source, reason, outcome }) => [source, reason, outcome]),
      [['stick', 'threw', 'generator']],
    );
  });

  test(`${name}: with fallback stop the machine ends, and says why`, {
    skip,
    timeout: scaled(60_000),
  }, async () => {
    const { layer, failures } = failing('stop');
    const machine = await engine().start(layer, image);
    assert.equal(await whole(machine.console.readable), '');
    const { reason, detail, cause } = await machine.ended;
    await machine.close();
    assert.equal(reason, 'failed');
    assert.match(detail!, /rng\.source: stick failed: it threw Error: unplugged/);
    assert.ok(cause instanceof MachineError);
    assert.deepEqual(
      failures.map(({ outcome }) => outcome),
      ['stopped'],
    );
  });
}
