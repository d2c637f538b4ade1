/** commonhv.ko with a generation page that the hypervisor stores to: registration, copies, and its life. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { Machine } from 'commonhv';
import { v86 } from 'commonhv/engines/v86';
import { type Shell, shellOf } from './support/debian-guest.ts';
import { driverGuest } from './support/driver.ts';
import { PAGE, pageWrites } from './support/page-writes.ts';

const { layer, written, cpu } = pageWrites();
const register = () => cpu().rdmsr(PAGE) as bigint;
const guest = driverGuest('driver-page');

describe('with a generation page', { skip: guest.skip, timeout: 600_000 }, () => {
  let machine: Machine;
  let shell: Shell;
  let state: Uint8Array;

  before(async () => {
    if (guest.skip !== false) return;
    const image = { ...guest.image, commandLine: `${guest.image.commandLine} nowatchdog` };
    machine = await v86({ memory: 128 * 2 ** 20 }).start(layer, image);
    shell = await shellOf(machine);
    await shell.run('echo 1 >/proc/sys/kernel/printk; cd /sys/devices/platform');
    state = await machine.save!();
  });
  after(() => machine?.close());

  /** Loads the module in the guest as it was before the first load. */
  async function load(parameters = ''): Promise<void> {
    written.length = 0;
    await machine.restore!(state);
    assert.equal(
      await shell.run(`insmod /lib/modules/commonhv.ko ${parameters} 2>&1; echo $?; cat commonhv/page`),
      '0\nregistered',
    );
  }
  const lines = async (command: string) => (await shell.run(command)).split('\n');

  test('the page is registered once, and cleared before it is given up', async () => {
    await load();
    const [generation, words] = await lines('driver read; driver page');
    assert.equal(words, `${generation} ${generation} 1`);
    assert.equal(written.length, 1);
    assert.equal(register() & 0xfffn, 1n);
    assert.equal(await shell.run('rmmod commonhv; echo $?'), '0');
    assert.deepEqual([written.length, written[1]], [2, 0n]);
  });

  test('a process sees a restore at its first look, and waits for the reseed by read(2), whatever the interval is', async () => {
    await load('interval=60000');
    await shell.run('driver read');
    await machine.restore!(await machine.save!());
    const [before, generation, after] = await lines('driver page; driver read; driver page');
    const [first, second] = before!.split(' ');
    assert.notEqual(first, second);
    assert.equal(generation, first);
    assert.equal(after, `${first} ${first} 2`);
  });

  test('a process that draws as soon as it sees a change draws different bytes in every copy, 100 copies', async () => {
    await load();
    await shell.type('driver draw\n');
    await shell.until('drawing');
    const saved = await machine.save!();
    const generations = new Set<string>();
    const drawn = new Set<string>();
    for (let i = 0; i < 100; i++) {
      await machine.restore!(saved);
      await shell.until('drew ', 60_000);
      const [generation, bytes] = (await shell.until('.', 60_000)).split(' ');
      generations.add(generation!);
      drawn.add(bytes!);
    }
    assert.deepEqual([generations.size, drawn.size], [100, 100]);
  });

  test('suspend and a hibernation that is called off clear the register and set it again', async () => {
    await load();
    const address = register();
    for (const sleep of ['freeze', 'disk']) {
      written.length = 0;
      const command = `echo devices >/sys/power/pm_test; echo ${sleep} >/sys/power/state; echo $?; cat commonhv/page`;
      assert.equal(await shell.run(command), '0\nregistered', sleep);
      assert.deepEqual(written, [0n, address], sleep);
    }
  });

  test('a register that another owner changed is set again at the next renewal', async () => {
    await load();
    const address = register();
    await shell.run('driver read');
    assert.equal(cpu().wrmsr(PAGE, 0n), undefined);
    await machine.restore!(await machine.save!());
    // The page is not stored to: the register itself, compared now and then, betrays the change.
    const woken =
      'for i in $(seq 60); do usleep 100000; [ $(cat commonhv/generation) = $(cat commonhv/reseeded) ] && break; done';
    assert.equal(await shell.run(`${woken}; cat commonhv/page`), 'registered');
    assert.equal(register(), address);
  });

  test('the register is cleared when the guest goes down', async () => {
    await load();
    written.length = 0;
    await shell.type('reboot -f\n');
    await machine.ended;
    assert.deepEqual(written, [0n]);
  });
});
