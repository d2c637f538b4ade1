/** Stock 64-bit Debian under QEMU's TCG with the plugin: saved and restored in place by the monitor's savevm and loadvm. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { type Shell, shellOf } from './debian-guest.ts';
import { emptyQcow2, type Qemu, startQemu } from './qemu-monitor.ts';
import { skipUnless } from './require.ts';

const QEMU = 'qemu-system-x86_64';
const version = spawnSync(QEMU, ['--version'], { encoding: 'utf8' });
const [, major = '0', minor = '0'] = /version (\d+)\.(\d+)/.exec(version.stdout ?? '') ?? [];
/** The plugin reaches registers in QEMU 7 by exported functions, from 10.1 by the plugin interface. */
const api = Number(major) * 100 + Number(minor) >= 1001 ? 5 : Number(major) < 8 ? 1 : undefined;
export const skip =
  skipUnless('qemu', version.status === 0, `${QEMU} is not installed`) ||
  (api === undefined && `QEMU ${major}.${minor} has neither way to registers`);

const COMMAND_LINE = [
  ...['console=ttyS0', 'quiet', 'mitigations=off', 'cryptomgr.notests', 'tsc=reliable', 'no_timer_check'],
  ...['nowatchdog', 'random.trust_cpu=off'],
].join(' ');

export interface QemuGuest {
  readonly qemu: Qemu;
  readonly shell: Shell;
  close(): Promise<void>;
}

/** Boots the guest of `folder`, which debian-guest.sh made, up to its shell. */
export async function startDebian(
  folder: string,
  { memory = 256, kernel = 'vmlinux' } = {},
): Promise<QemuGuest> {
  const plugin = resolve('.cache/plugin');
  const made = spawnSync('make', ['-s', '-C', 'c/qemu-plugin', `OUT=${plugin}`, `API=${api}`]);
  if (made.status !== 0) throw new Error(String(made.stderr));
  const work = mkdtempSync(join(tmpdir(), 'commonhv-qemu-'));
  mkdirSync(work, { recursive: true });
  const disk = join(work, 'disk.qcow2');
  writeFileSync(disk, emptyQcow2());
  const qemu = await startQemu(
    [
      ...[QEMU, '-accel', 'tcg', '-cpu', 'qemu64', '-m', String(memory), '-nodefaults', '-display', 'none'],
      ...['-no-reboot', '-serial', 'stdio', '-plugin', join(plugin, 'commonhv-plugin.so')],
      ...['-kernel', join(folder, kernel), '-initrd', join(folder, 'initrd'), '-append', COMMAND_LINE],
      ...['-drive', `if=none,id=d,file=${disk},format=qcow2`, '-device', 'virtio-blk-pci,drive=d'],
    ],
    join(work, 'monitor'),
  );
  const close = async (): Promise<void> => {
    await qemu.close();
    rmSync(work, { recursive: true, force: true });
  };
  try {
    return { qemu, shell: await shellOf({ console: consoleOf(qemu) }), close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** The serial line on QEMU's standard streams. */
function consoleOf({ child }: Qemu) {
  const readable = new ReadableStream<Uint8Array>({
    start(controller) {
      child.stdout!.on('data', (bytes: Uint8Array) => controller.enqueue(bytes));
      child.stdout!.on('end', () => controller.close());
    },
  });
  const writable = new WritableStream<Uint8Array>({
    write: (bytes) =>
      new Promise((done, failed) => child.stdin!.write(bytes, (error) => (error ? failed(error) : done()))),
  });
  return { readable, writable };
}
