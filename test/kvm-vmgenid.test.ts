/**
 * The VM generation device: "A hypervisor that offers VMGenID as well MUST renew VMGenID and MSR_COMMONHV_GENERATION at the
 * same restores", on every route, and its event. Linux' own driver: kvm-vmgenid-linux.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { type KvmMachine, kvm } from 'commonhv/engines/kvm';
import { commonhv, systemGeneration, systemSource } from 'commonhv/hypervisor';
import { probeImage } from 'commonhv/probe';
import { skip } from './support/kvm-availability.ts';
import { GENERATION_GUEST, looker, type Seen } from './support/kvm-generation-guest.ts';
import { placements, whole } from './support/kvm-layers.ts';
import { scaled } from './support/time.ts';

const memory = 4 * 2 ** 20;
const folder = mkdtempSync(join(tmpdir(), 'commonhv-vmgenid-'));
after(() => rmSync(folder, { recursive: true, force: true }));
const limit = { skip, timeout: scaled(60_000) };

/** Both values are other ones, or neither is. */
function renewed(before: Seen, now: Seen): boolean {
  const [id, generation] = [before.id !== now.id, before.generation !== now.generation];
  assert.equal(id, generation, `VMGenID and generation, ${JSON.stringify([before, now])}`);
  return id;
}

/** The first look at a resumed machine, which has the event of a renewal; the machine is closed. */
async function lookAtCopy(copy: KvmMachine): Promise<Seen> {
  try {
    const look = looker(copy);
    const seen = await look(true);
    assert.deepEqual([seen.pending, seen.line], [true, true], 'the event, as a new machine');
    const later = await look();
    assert.deepEqual([later.pending, later.line], [false, false], 'the guest has cleared it');
    assert.equal(renewed(seen, later), false);
    return seen;
  } finally {
    await copy.close();
  }
}

for (const vcpus of [1, 2]) {
  for (const [name, layer] of Object.entries(placements)) {
    test(`VMGenID and generation of ${vcpus} vCPUs under ${name} are renewed together`, limit, async () => {
      const machine = await kvm({ memory, vcpus, vmgenid: true }).start(layer(), GENERATION_GUEST);
      try {
        const look = looker(machine);
        const first = await look();
        assert.deepEqual([first.pending, first.line], [false, false], 'no event at the start');
        assert.notEqual(first.id, '0'.repeat(32));
        const file = join(folder, `state-${vcpus}-${name.at(-1)}`);
        await machine.saveFile(file);
        const bytes = await machine.save();
        await machine.pause();
        await machine.unpause();
        assert.equal(renewed(first, await look()), false, 'a save and a pause restore nothing');

        const ids = new Set([first.id]);
        await machine.pause(); // its guest polls without a rest, which takes a single processor from the copies
        for (const state of [bytes, file, file]) {
          const seen = await lookAtCopy(await kvm().resume(layer(), state));
          assert.equal(renewed(first, seen), true);
          ids.add(seen.id);
        }
        await machine.unpause();
        for (const state of [bytes, file]) {
          const before = await look(true);
          await machine.restore(state);
          const seen = await look();
          assert.equal(renewed(before, seen), true);
          assert.deepEqual([seen.pending, seen.line], [true, true], 'the event, in place');
          ids.add(seen.id);
        }
        assert.equal(ids.size, 6);
      } finally {
        await machine.close();
      }
    });
  }
}

test('a renewed outer generation renews both, and notifies the guest', limit, async () => {
  let outer = 1n;
  const layer = commonhv({
    rng: { source: systemSource() },
    generation: { next: systemGeneration(), outer: () => outer },
  });
  const machine = await kvm({ memory, vmgenid: true }).start(layer, GENERATION_GUEST);
  try {
    const look = looker(machine);
    const first = await look();
    outer = 2n;
    const seen = await look(); // reading the generation notices it
    const both = await look();
    assert.notEqual(both.id, first.id);
    assert.notEqual(both.generation, first.generation);
    assert.equal(seen.generation, both.generation);
    assert.deepEqual([both.pending, both.line], [true, true]);
  } finally {
    await machine.close();
  }
});

test('two machines start with different values', limit, async () => {
  const machines = await Promise.all(
    [1, 2].map(() => kvm({ memory, vmgenid: true }).start(whole(), GENERATION_GUEST)),
  );
  try {
    const [a, b] = await Promise.all(machines.map((machine) => looker(machine)()));
    assert.notEqual(a!.id, b!.id);
  } finally {
    await Promise.all(machines.map((machine) => machine.close()));
  }
});

test(
  'an image that finds no tables is refused, and a state of a machine without the device',
  limit,
  async () => {
    const engine = kvm({ memory, vmgenid: true });
    await assert.rejects(
      engine.start(whole(), { kernel: probeImage() }),
      /^TypeError: vmgenid: expected a Linux or PVH kernel/,
    );
    const without = await kvm({ memory }).start(whole(), GENERATION_GUEST);
    const machine = await engine.start(whole(), GENERATION_GUEST);
    try {
      await assert.rejects(machine.restore(await without.save()), {
        name: 'TypeError',
        message: 'state: of another machine: vmgenid false; this one has true',
      });
    } finally {
      await Promise.all([without, machine].map((each) => each.close()));
    }
  },
);
