/** commonhv.ko through kexec, by Debian's kexec-tools in a stock guest on v86: the page's register is clear before the next kernel runs. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { copyFileSync } from 'node:fs';
import { test } from 'node:test';
import { v86 } from 'commonhv/engines/v86';
import { shellOf } from './support/debian-guest.ts';
import { driverGuest } from './support/driver.ts';
import { PAGE, pageWrites } from './support/page-writes.ts';
import { skipUnless } from './support/require.ts';

const TOOLS = '.cache/programs/kexec-i386';
const SECOND = '.cache/driver/kexec-second';

/** Two boots of a stock kernel: too long for each run of the tests. */
const long =
  process.env.COMMONHV_LONG !== undefined || 'two boots; a cell of the matrix runs it (COMMONHV_LONG=1)';

/** The guest that starts another kernel: the same kernel, and the same guest without kexec as its initial RAM disk. */
function kexecGuest(): ReturnType<typeof driverGuest> {
  if (long !== true) return { skip: long };
  const packages = ['kexec-tools', 'libc6', 'zlib1g', 'liblzma5'];
  const made = spawnSync('scripts/debian-programs.sh', ['i386', TOOLS, ...packages], { encoding: 'utf8' });
  if (made.status !== 0) return { skip: skipUnless('driver', false, made.stderr.trim()) as string };
  const second = driverGuest('kexec-second');
  if (second.skip !== false) return second;
  copyFileSync(`${SECOND}/initrd`, `${SECOND}/next`);
  const libraries = ['libc.so.6', 'libz.so.1', 'liblzma.so.5'].map((name) => [
    `${TOOLS}/lib/i386-linux-gnu/${name}`,
    `/lib/${name}`,
  ]);
  return driverGuest('kexec-first', 'i386', () => ({
    [`${SECOND}/vmlinuz`]: '/boot/vmlinuz',
    [`${SECOND}/next`]: '/boot/initrd',
    [`${TOOLS}/sbin/kexec`]: '/sbin/kexec',
    [`${TOOLS}/lib/i386-linux-gnu/ld-linux.so.2`]: '/lib/ld-linux.so.2',
    ...Object.fromEntries(libraries),
  }));
}
const guest = kexecGuest();

test('kexec clears the page’s register, and the next kernel’s driver registers its own page', {
  skip: guest.skip,
  timeout: 600_000,
}, async () => {
  if (guest.skip !== false) return;
  const { layer, written, cpu } = pageWrites();
  const commandLine = `${guest.image.commandLine} nowatchdog`;
  const machine = await v86({ memory: 192 * 2 ** 20 }).start(layer, { ...guest.image, commandLine });
  try {
    const shell = await shellOf(machine);
    const load = 'insmod /lib/modules/commonhv.ko; cat /sys/devices/platform/commonhv/page';
    assert.equal(await shell.run(load), 'registered');
    assert.equal(written.length, 1);
    const kexec = `kexec -l /boot/vmlinuz --initrd=/boot/initrd --command-line='${commandLine}'`;
    assert.equal(await shell.run(`${kexec} 2>&1; cat /sys/kernel/kexec_loaded`), '1');
    await shell.type('kexec -e\n');
    await shell.until('guest ready: Linux');
    await shell.until('/ # ');
    assert.deepEqual([written.length, written[1], cpu().rdmsr(PAGE)], [2, 0n, 0n]);
    await shell.type('insmod /lib/modules/commonhv.ko; cat /sys/devices/platform/commonhv/pa*\n');
    await shell.until('registered');
    assert.equal((cpu().rdmsr(PAGE) as bigint) & 0xfffn, 1n);
  } finally {
    await machine.close();
  }
});
