/** A stock 64-bit Debian kernel under the KVM engine reseeds by its own driver, without an agent; in the bed. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { kvm, type LayerModule } from 'commonhv/engines/kvm';
import { debianGuest, shellOf } from './support/debian-guest.ts';
import { skip as noKvm } from './support/kvm-availability.ts';
import { url } from './support/kvm-layers.ts';
import { skipUnless } from './support/require.ts';
import { scaled } from './support/time.ts';

const COMMAND_LINE =
  'console=ttyS0 quiet mitigations=off cryptomgr.notests tsc=reliable no_timer_check noxsave';
/** How often the kernel has said that it reseeded because it is a copy. */
const RESEEDS = 'dmesg | grep -c "crng reseeded due to virtual machine fork"';
const layer: LayerModule = {
  module: url,
  export: 'configuredForBed',
  options: { rng: { source: 'os' }, generation: {} },
};

const slow = skipUnless(
  'kvm-vmgenid',
  process.env.COMMONHV_BED !== undefined,
  'stock Linux boots in minutes on a KVM that emulates: .ci/run runs this in the bed',
);
const debian = noKvm || slow ? { skip: noKvm || slow } : debianGuest(['--amd64']);

test('after a resume and after a restore the kernel says that it reseeded, once each', {
  skip: debian.skip,
  timeout: scaled(120_000),
}, async (t) => {
  assert.ok('image' in debian);
  const image = { ...debian.image, commandLine: COMMAND_LINE };
  const machine = await kvm({ memory: 128 * 2 ** 20, vmgenid: true }).start(layer, image);
  const machines = [machine];
  try {
    const shell = await shellOf(machine);
    assert.equal(await shell.run('ls /sys/bus/acpi/devices | grep CMHV'), 'CMHV0001:00');
    const ready = 'until dmesg | grep -q "crng init done"; do sleep 1; done';
    assert.equal(await shell.run(`head -c 16 /dev/urandom >/dev/null; ${ready}; ${RESEEDS}`), '0');
    const state = await machine.save();
    await machine.close();
    const resumed = await kvm().resume(layer, state);
    machines.push(resumed);
    const copy = await shellOf(resumed, { plain: true });
    const reseeded = `until [ "$(${RESEEDS})" = 1 ]; do sleep 0.1; done`;
    const begun = performance.now();
    await copy.run(reseeded, scaled(20_000));
    t.diagnostic(`${Math.round(performance.now() - begun)} ms until its shell had seen it`);
    await resumed.restore(state);
    await copy.run(reseeded, scaled(20_000));
  } finally {
    await Promise.all(machines.map((each) => each.close()));
  }
});
