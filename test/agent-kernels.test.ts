/** The agent on stock 64-bit Debian kernels under QEMU's TCG: its report of a reseed against the bytes that copies draw. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { debianGuest } from './support/debian-guest.ts';
import { type QemuGuest, skip as skipQemu, startDebian } from './support/qemu-debian.ts';
import { skipUnless } from './support/require.ts';
import { scaled } from './support/time.ts';

/** Such as 5.10,6.1,6.12: each is a boot, so cells of the matrix name them. */
const kernels = (process.env.COMMONHV_KERNELS ?? '').split(',').filter((name) => name !== '');
for (const series of kernels) assert.match(series, /^\d+\.\d+$/);
const COPIES = 3;

function makeGuest(series: string) {
  if (skipQemu !== false) return { skip: skipQemu };
  const folder = `.cache/agent-kernels/${series}`;
  mkdirSync(folder, { recursive: true });
  const made = spawnSync('make', ['-s', '-C', 'c/agent', 'OUT=../../.cache/agent-kernels', 'agent64']);
  const cc = skipUnless('cc', made.status === 0, 'no make and C compiler for 64 bits');
  if (cc !== false) return { skip: cc };
  const kernel = series === '6.1' ? [] : ['--kernel', series];
  const agent = ['--add', '.cache/agent-kernels/commonhv-agent64=/sbin/commonhv-agent'];
  return { ...debianGuest(['--amd64', ...kernel, '--output', folder, ...agent]), folder };
}

// A skip alone where there is nothing to run: with a test that passes here, a machine without a compiler would have passed.
if (kernels.length === 0) {
  test('kernels are named in COMMONHV_KERNELS', { skip: 'a boot each; cells of the matrix run them' });
}

for (const series of kernels) {
  const guest = makeGuest(series);
  describe(`the agent on Linux ${series}`, { skip: guest.skip, timeout: scaled(280_000) }, () => {
    let machine: QemuGuest;
    before(async () => {
      if ('folder' in guest) machine = await startDebian(guest.folder);
    });
    after(() => machine?.close());
    const old = Number(series.split('.')[0]) < 5 || series === '5.10';

    /** Bytes of /dev/urandom in each copy, right after `command`. */
    async function drawn(command: string): Promise<{ said: string; bytes: Set<string> }> {
      const bytes = new Set<string>();
      let said = '';
      await machine.qemu.monitor('savevm a');
      for (let copy = 0; copy < COPIES; copy++) {
        await machine.qemu.monitor('loadvm a');
        const output = await machine.shell.run(`${command}; head -c 16 /dev/urandom | md5sum`);
        const lines = output.split('\n');
        bytes.add(lines.pop()!);
        said = lines.join('\n');
      }
      return { said, bytes };
    }

    test('it seeds the kernel, and copies then draw different bytes', async () => {
      assert.match(await machine.shell.run('uname -r'), new RegExp(`^${series.replace('.', '\\.')}\\.`));
      const { said, bytes } = await drawn('commonhv-agent 2>&1');
      assert.match(said, /credited 512: the hypervisor says they are secure; reseeded$/);
      assert.equal(bytes.size, COPIES);
    });

    test('without the agent copies draw the same bytes', async () => {
      const { bytes } = await drawn(':');
      assert.equal(bytes.size, 1);
    });

    test('without credit it says whether the kernel was reseeded, and the copies’ bytes agree', async () => {
      const { said, bytes } = await drawn('commonhv-agent --credit 0 2>&1');
      if (old) {
        assert.match(said, /not reseeded: Linux before 5\.18 reseeds only with 128 credited bits$/);
        assert.equal(bytes.size, 1);
      } else {
        assert.match(said, /credited 0: as told by --credit; reseeded$/);
        assert.equal(bytes.size, COPIES);
      }
    });

    test('its watch mode reseeds each copy, and its files say so', async () => {
      const { shell, qemu } = machine;
      await shell.run('commonhv-agent --watch 2>/tmp/log & sleep 1');
      await qemu.monitor('savevm b');
      const seen = new Set<string>();
      for (let copy = 0; copy < COPIES; copy++) {
        await qemu.monitor('loadvm b');
        const waiting =
          'for i in $(seq 100); do grep -q resumed /tmp/log && break; sleep 0.1; done; sleep 0.3';
        await shell.run(waiting);
        const { reseeded, restores, generation } = JSON.parse(await shell.run('cat /run/commonhv/status'));
        assert.deepEqual({ reseeded, restores }, { reseeded: true, restores: 1 });
        seen.add(generation).add(await shell.run('head -c 16 /dev/urandom | md5sum'));
      }
      assert.equal(seen.size, 2 * COPIES);
    });
  });
}
