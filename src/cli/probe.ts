/** `commonhv probe`: hands out the probe guest's image, for a hypervisor of one's own. */
import { spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DISK_BYTES, probeDisk, probeImage } from '../probe/index.ts';
import { type Io, plainLine, UsageError } from './io.ts';

export type Form = 'disk' | 'sector' | 'iso';

export interface ProbeOptions {
  /** The file, or `-` for standard output. */
  readonly write: string;
  /** By default `iso` for a file that ends in .iso, else `disk`. */
  readonly form?: Form;
}

export async function runProbe({ write, form }: ProbeOptions, io: Io): Promise<number> {
  const chosen = form ?? (write.endsWith('.iso') ? 'iso' : 'disk');
  if (chosen === 'iso' && write === '-')
    throw new UsageError('--form iso: expected a file, got standard output');
  if (chosen === 'iso') await writeIso(write);
  else if (write === '-') await io.out(chosen === 'disk' ? probeDisk() : probeImage());
  else await put(write, chosen === 'disk' ? probeDisk() : probeImage());
  if (write !== '-') io.err(`${write}: ${DESCRIPTIONS[chosen]}`);
  return 0;
}

const DESCRIPTIONS: Readonly<Record<Form, string>> = {
  disk: `a raw disk of ${DISK_BYTES} bytes, and a multiboot kernel; its guest waits for verify on the first serial port`,
  sector:
    'a boot sector of 512 bytes, and a multiboot kernel; its guest waits for verify on the first serial port',
  iso: 'a bootable CD image (El Torito, no emulation); its guest waits for verify on the first serial port',
};

async function put(path: string, bytes: Uint8Array): Promise<void> {
  try {
    await writeFile(path, bytes);
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    const why =
      code === 'ENOENT' ? 'there is no such folder' : code === 'EISDIR' ? 'it is a folder' : message;
    throw new UsageError(`--write ${path}: ${why}`, { cause });
  }
}

/** xorriso makes the file system and the boot catalogue; the firmware then loads the sector to 7C00H as from a disk. */
async function writeIso(path: string): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'commonhv-iso-'));
  try {
    await put(path, new Uint8Array());
    await writeFile(join(folder, 'probe.bin'), padded(probeImage(), 2048));
    const boot = ['-b', 'probe.bin', '-no-emul-boot', '-boot-load-size', '1', '-c', 'boot.cat'];
    await xorriso(['-as', 'mkisofs', '-quiet', '-V', 'COMMONHV', ...boot, '-o', path, folder]);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** A CD has sectors of 2,048 bytes. */
function padded(bytes: Uint8Array, unit: number): Uint8Array {
  const out = new Uint8Array(Math.ceil(bytes.length / unit) * unit);
  out.set(bytes);
  return out;
}

function xorriso(args: readonly string[]): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn('xorriso', args, { stdio: ['ignore', 'ignore', 'pipe'] });
    let said = '';
    child.stderr.on('data', (bytes: Buffer) => {
      said = (said + bytes.toString('latin1')).slice(-400);
    });
    child.on('error', () =>
      reject(
        new UsageError('a CD image is made by xorriso, which is not here: install it, or take --form disk'),
      ),
    );
    child.on('close', (status) => {
      const last = plainLine(said.trim().split('\n').at(-1) ?? '');
      if (status === 0) resolve();
      else reject(new UsageError(`xorriso ended with status ${status}: ${last}`));
    });
  });
}
