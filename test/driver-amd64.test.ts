/** commonhv.ko in a stock 64-bit Debian guest under QEMU's TCG with the plugin: its life, copies by loadvm, fork notifiers. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { driverGuest, testModule } from './support/driver.ts';
import { type QemuGuest, skip as skipQemu, startDebian } from './support/qemu-debian.ts';
import { scaled } from './support/time.ts';

const COPIES = 10;
const guest =
  skipQemu === false
    ? driverGuest('amd64-guest', 'amd64', () => ({
        [testModule('amd64', 'test/support/fork-notifier.c')]: '/lib/modules/fork-notifier.ko',
      }))
    : { skip: skipQemu };

describe('in a stock 64-bit Debian guest', { skip: guest.skip, timeout: scaled(300_000) }, () => {
  let machine: QemuGuest;
  before(async () => {
    if (guest.skip === false) machine = await startDebian(guest.folder);
    await machine?.shell.run('echo 1 >/proc/sys/kernel/printk; cd /sys/devices/platform');
    await machine?.qemu.monitor('savevm clean');
  });
  after(() => machine?.close());
  const lines = async (command: string) => (await machine.shell.run(command)).split('\n');
  const restore = (name: string) => machine.qemu.monitor(`loadvm ${name}`);

  test('it is loaded and unloaded 20 times, and leaves nothing', async () => {
    const { shell } = machine;
    const trace =
      'ls /dev | sort | md5sum; ls -R /sys/devices /sys/class/misc /sys/bus/platform 2>/dev/null | md5sum; cat /sys/class/misc/hw_random/rng_current';
    await shell.run('insmod /lib/modules/commonhv.ko; driver read; rmmod commonhv');
    const before = await shell.run(trace);
    const cycle =
      'insmod /lib/modules/commonhv.ko && driver read >/dev/null && rmmod commonhv || echo failed $i';
    assert.equal(await shell.run(`for i in $(seq 20); do ${cycle}; done`), '');
    assert.equal(await shell.run(trace), before);
    assert.equal(await shell.run('dmesg | grep -E "BUG|WARNING|Oops|leak"'), '');
  });

  test('while the kernel’s generator is not seeded no reseed is reported; it comes by itself afterwards', async () => {
    await restore('clean');
    assert.equal(await machine.shell.run('dmesg | grep -c "crng init done"'), '0');
    // Without credit: the module's own hwrng would seed it.
    const early = await lines(
      'insmod /lib/modules/commonhv.ko quality=0; sleep 0.3; cat commonhv/reseeded; driver read nonblock; driver page',
    );
    assert.deepEqual(early.slice(0, 2), ['0'.repeat(16), 'Resource temporarily unavailable']);
    assert.match(early[2]!, /^(?!0{16})\w{16} 0{16} 0$/);
    const [generation, ...late] = await lines(
      'head -c 1 /dev/random >/dev/null; driver read; cat commonhv/reseeded; driver page; dmesg | grep -c "cannot be reseeded"',
    );
    assert.deepEqual(late, [generation, `${generation} ${generation} 1`, '0']);
    await restore('clean');
  });

  test('it shows the offer, is the current hwrng, and maps its pages', async () => {
    const shown = await lines(
      'insmod /lib/modules/commonhv.ko; cat commonhv/draft commonhv/rng commonhv/page commonhv/interfaces /sys/class/misc/hw_random/rng_current',
    );
    assert.deepEqual(shown, ['3', 'secure hwrng', 'none', '40000000 TCGTCGTCGTCG', 'commonhv']);
    const [read, generation, reseeded, page] = await lines(
      'driver read; cat commonhv/generation commonhv/reseeded; driver page',
    );
    assert.match(read!, /^[0-9a-f]{16}$/);
    assert.deepEqual([generation, reseeded, page], [read, read, `${read} ${read} 1`]);
    const maps = await lines('driver maps');
    assert.equal(
      maps.filter((line) => / (Permission denied|Invalid argument|Bad address)$/.test(line)).length,
      16,
    );
    assert.equal(maps.filter((line) => line.endsWith(' read mapped')).length, 2);
  });

  test(`a process that draws as soon as it sees a change draws different bytes in every copy, ${COPIES} copies`, async () => {
    const { shell, qemu } = machine;
    await restore('clean');
    await shell.run('insmod /lib/modules/commonhv.ko');
    await shell.type('driver draw\n');
    await shell.until('drawing');
    await qemu.monitor('savevm a');
    const generations = new Set<string>();
    const drawn = new Set<string>();
    for (let i = 0; i < COPIES; i++) {
      await restore('a');
      await shell.until('drew ');
      const [generation, bytes] = (await shell.until('.')).split(' ');
      generations.add(generation!);
      drawn.add(bytes!);
    }
    assert.deepEqual([generations.size, drawn.size], [COPIES, COPIES]);
  });

  test('vmgenid=1: the kernel’s own driver runs the fork notifiers at each restore, and the module stays', async () => {
    const { shell, qemu } = machine;
    await restore('clean');
    assert.equal(
      await shell.run(
        'insmod /lib/modules/fork-notifier.ko; insmod /lib/modules/commonhv.ko vmgenid=1; echo $?',
      ),
      '0',
    );
    const calls = 'driver read >/dev/null; sleep 0.3; cat /sys/module/fork_notifier/parameters/calls';
    const first = Number(await shell.run(calls));
    await qemu.monitor('savevm a');
    for (let i = 0; i < 2; i++) {
      await restore('a');
      assert.equal(Number(await shell.run(calls)), first + 1);
    }
    assert.match(
      await shell.run('dmesg | grep -c "crng reseeded due to virtual machine fork"; rmmod commonhv 2>&1'),
      /^[1-9]\d*\n.*temporarily unavailable/,
    );
    assert.equal(await shell.run('dmesg | grep -E "BUG|WARNING|Oops|ACPI Error"'), '');
  });
});
