/** commonhv.ko in stock 64-bit Debian under an unmodified QEMU on KVM with `commonhv preload`: copies, and acknowledgements that the host sees. */
import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { driverGuest } from './support/driver.ts';
import { skip as skipKvm } from './support/kvm-availability.ts';
import { COMMAND_LINE, startDebian } from './support/qemu-debian.ts';
import { scaled } from './support/time.ts';

const FOLDER = '.cache/driver/preload-guest';
/** Built by scripts/build-tests.js, for machines without a compiler such as the bed. */
const LIBRARY = 'c/preload/libcommonhv-preload.so';
const COPIES = 3;
const CPUS = process.env.COMMONHV_CPUS ?? '1';

/** In the bed the guest is there already; see the cell in scripts/matrix/driver.js. */
function makeGuest(): string | false {
  if (process.env.COMMONHV_LONG === undefined)
    return 'a boot on an emulated KVM; a cell of the matrix runs it (COMMONHV_LONG=1)';
  if (skipKvm !== false || existsSync(`${FOLDER}/initrd`)) return skipKvm;
  return driverGuest('preload-guest', 'amd64').skip;
}

test('the driver parts copies, and the host sees each acknowledgement', {
  skip: makeGuest(),
  timeout: scaled(500_000),
}, async () => {
  const work = mkdtempSync(join(tmpdir(), 'commonhv-preload-'));
  const status = join(work, 'status');
  const library = existsSync(LIBRARY) ? ['--library', LIBRARY] : [];
  const preload = [
    process.execPath,
    'dist/cli/bin.cjs',
    'preload',
    ...library,
    '--require',
    '--status',
    status,
    '--',
  ];
  const events = (name: string) =>
    readFileSync(status, 'utf8')
      .trim()
      .split('\n')
      .filter((line) => JSON.parse(line).event === name).length;
  const { shell, qemu, close } = await startDebian(FOLDER, {
    qemu: [...preload, 'qemu-system-x86_64', '-accel', 'kvm'],
    // docs/bed.md: an emulated KVM's paravirtual end of interrupt stalls a guest that uses its local APIC.
    options: ['-smp', CPUS, '-cpu', 'qemu64,kvm-pv-eoi=off'],
    commandLine: `${COMMAND_LINE} noxsave`,
  });
  try {
    assert.equal(await shell.run('nproc'), CPUS);
    await shell.run('echo 1 >/proc/sys/kernel/printk; cd /sys/devices/platform');
    const load = 'insmod /lib/modules/commonhv.ko && driver read >/dev/null';
    assert.equal(
      await shell.run(`for i in $(seq 20); do ${load} && rmmod commonhv || echo failed; done; ${load}`),
      '',
    );
    assert.equal(await shell.run('cat commonhv/draft commonhv/rng'), '3\nsecure hwrng');
    const before = await shell.run('driver read');
    assert.equal(events('acknowledged'), 1);
    await qemu.monitor('savevm a');
    const seen = new Set([before]);
    for (let copy = 0; copy < COPIES; copy++) {
      await qemu.monitor('loadvm a');
      const [generation, bytes] = (await shell.run('driver read; head -c 16 /dev/urandom | md5sum')).split(
        '\n',
      );
      seen.add(generation!).add(bytes!);
    }
    assert.equal(seen.size, 1 + 2 * COPIES);
    assert.deepEqual([events('restored'), events('acknowledged')], [COPIES, 1 + COPIES]);
    assert.equal(await shell.run('dmesg | grep -E "BUG|WARNING|Oops"'), '');
  } finally {
    await close();
    rmSync(work, { recursive: true, force: true });
  }
});
