/** The agent's starts for real: initial RAM disks that Debian's own initramfs-tools and dracut have made, booted. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { v86 } from 'commonhv/engines/v86';
import { commonhv, systemGeneration, systemSource } from 'commonhv/hypervisor';
import { skipUnless } from './support/require.ts';

const FOLDER = '.cache/debian-initrds';

function made(): string | false {
  try {
    execFileSync('scripts/debian-initrds.sh', {
      encoding: 'utf8',
      stdio: 'pipe',
      env: { ...process.env, CC: 'gcc' },
    });
    return false;
  } catch (error) {
    const { status, stderr } = error as { status?: number; stderr?: string };
    const reason = String(stderr).trim().split('\n').at(-1) ?? 'the script failed';
    if (status !== 3) throw new Error(reason, { cause: error });
    return skipUnless('initrds', false, reason);
  }
}

/** What the guest says until it has said `last`. */
async function boot(initrd: string, options: string, last: string): Promise<string> {
  const layer = commonhv({ rng: { source: systemSource() }, generation: { next: systemGeneration() } });
  const machine = await v86({ memory: 192 * 2 ** 20 }).start(layer, {
    kernel: readFileSync(`${FOLDER}/vmlinuz`),
    initrd: readFileSync(`${FOLDER}/${initrd}`),
    commandLine: `console=ttyS0 noisapnp cryptomgr.notests acpi=off random.trust_cpu=off ${options}`,
  });
  const timer = setTimeout(() => machine.close(), 400_000);
  let text = '';
  try {
    for await (const bytes of machine.console.readable) {
      text += new TextDecoder('latin1').decode(bytes);
      if (text.includes(last)) return text;
    }
    return assert.fail(`the guest did not say ${last}; last: ${text.slice(-300)}`);
  } finally {
    clearTimeout(timer);
    await machine.close();
  }
}

const SEEDED =
  /^commonhv-agent: mixed 512 bits from draft 3's RNG, credited 512: the hypervisor says they are secure; reseeded\r$/m;

/**
 * What was said before udev, the first that asks for randomness. The kernel's own lines, which may come amid another, are
 * left out. The start of udev is said only where the command line has no `quiet`.
 */
function beforeUdev(text: string): string {
  const said = text.replace(/\[ *\d+\.\d+\] [^\n]*\n/g, '');
  const at = said.indexOf('Starting systemd-udevd');
  assert.ok(at >= 0, `udev did not start: ${text.slice(-300)}`);
  return said.slice(0, at);
}

describe('initial RAM disks of a Debian system', { skip: made(), timeout: 900_000 }, () => {
  test('initramfs-tools: the kernel is seeded before udev starts', async () => {
    assert.match(beforeUdev(await boot('initramfs-tools.img', 'break=modules', '(initramfs)')), SEEDED);
  });

  test('dracut: the kernel is seeded before udev starts', async () => {
    const options = 'root=/dev/nothing rd.break=pre-trigger';
    assert.match(beforeUdev(await boot('dracut.img', options, 'pre-trigger:/#')), SEEDED);
  });
});
