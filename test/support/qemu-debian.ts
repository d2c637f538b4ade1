/** Stock 64-bit Debian under QEMU's TCG with the plugin: saved and restored in place by the monitor's savevm and loadvm. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
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

export const COMMAND_LINE = [
  ...['console=ttyS0', 'quiet', 'mitigations=off', 'cryptomgr.notests', 'tsc=reliable', 'no_timer_check'],
  ...['nowatchdog', 'random.trust_cpu=off'],
].join(' ');

export interface QemuGuest {
  readonly qemu: Qemu;
  readonly shell: Shell;
  close(): Promise<void>;
}

/** A system whose console is only read. */
export interface QemuSystem {
  readonly qemu: Qemu;
  /** The console so far. */
  readonly said: string;
  /** Waits until the console has said `text`, at or after position `from`. */
  until(text: string, from?: number): Promise<void>;
  close(): Promise<void>;
}

interface Machine {
  readonly memory?: number;
  readonly commandLine?: string;
  /** Further options of QEMU. */
  readonly options?: readonly string[];
  /** QEMU and its accelerator; TCG with the plugin by default. */
  readonly qemu?: readonly string[];
}

/** TCG with the plugin, which is built for this QEMU. */
function tcg(): readonly string[] {
  const plugin = resolve('.cache/plugin');
  const made = spawnSync('make', ['-s', '-C', 'c/qemu-plugin', `OUT=${plugin}`, `API=${api}`]);
  if (made.status !== 0) throw new Error(String(made.stderr));
  return [QEMU, '-accel', 'tcg', '-plugin', join(plugin, 'commonhv-plugin.so')];
}

/** QEMU with the kernel and initrd of a folder, and a disk for savevm. */
async function start(
  folder: string,
  { memory = 256, commandLine = COMMAND_LINE, options = [], qemu: program = tcg() }: Machine,
) {
  const work = mkdtempSync(join(tmpdir(), 'commonhv-qemu-'));
  const disk = join(work, 'disk.qcow2');
  writeFileSync(disk, emptyQcow2());
  const qemu = await startQemu(
    [
      ...[...program, '-cpu', 'qemu64', '-m', String(memory), '-nodefaults', '-display', 'none'],
      ...['-no-reboot', '-serial', 'stdio'],
      ...['-kernel', join(folder, 'vmlinux'), '-initrd', join(folder, 'initrd'), '-append', commandLine],
      ...['-drive', `if=none,id=d,file=${disk},format=qcow2`, '-device', 'virtio-blk-pci,drive=d'],
      ...options,
    ],
    join(work, 'monitor'),
  );
  const close = async (): Promise<void> => {
    await qemu.close();
    rmSync(work, { recursive: true, force: true });
  };
  return { qemu, close };
}

/** Boots the guest of `folder`, which debian-guest.sh made, up to its shell. */
export async function startDebian(folder: string, machine: Machine = {}): Promise<QemuGuest> {
  const { qemu, close } = await start(folder, machine);
  try {
    return { qemu, shell: await shellOf({ console: consoleOf(qemu) }), close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** Starts the system of `folder`, which debian-systemd.sh made. */
export async function startSystem(folder: string, machine: Machine = {}): Promise<QemuSystem> {
  const { qemu, close } = await start(folder, machine);
  let said = '';
  qemu.child.stdout!.on('data', (bytes) => {
    said += bytes;
  });
  return {
    qemu,
    close,
    get said() {
      return said;
    },
    until: (text, from = 0) => qemu.until(() => said.includes(text, from), text),
  };
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
