/** The sampler for `commonhv clones`: compiled on first use, kept in the user's cache, and as an initial RAM disk. */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Io, UsageError } from './io.ts';

export type Architecture = 'i386' | 'amd64';

const FOLDER = new URL('../../c/', import.meta.url);
const SOURCES = ['sampler/commonhv-sampler.c', 'include/commonhv.h', 'include/freestanding.h'];

/** The sampler's program for an architecture. Throws a UsageError with the compiler's last line where it cannot be built. */
export function sampler(architecture: Architecture, io: Io): Uint8Array {
  const makefile = fileURLToPath(new URL('sampler/Makefile', FOLDER));
  const hash = createHash('sha256');
  for (const name of [...SOURCES, 'sampler/Makefile']) hash.update(readFileSync(new URL(name, FOLDER)));
  const cache = join(cacheFolder(io), `sampler-${hash.digest('hex').slice(0, 16)}`);
  const name = `commonhv-sampler${architecture === 'i386' ? '32' : '64'}`;
  const built = join(cache, name);
  if (!existsSync(built)) build(makefile, cache, name);
  return readFileSync(built);
}

function cacheFolder({ env }: Io): string {
  const base = env.XDG_CACHE_HOME ?? (env.HOME === undefined ? undefined : join(env.HOME, '.cache'));
  if (base === undefined)
    throw new UsageError('the sampler is built into a cache folder: set XDG_CACHE_HOME');
  return join(base, 'commonhv');
}

/** Built beside its place and renamed, so that two at once do no harm. */
function build(makefile: string, cache: string, name: string): void {
  let work: string;
  try {
    mkdirSync(cache, { recursive: true });
    work = mkdtempSync(join(cache, 'build-'));
  } catch (cause) {
    throw new UsageError(`the sampler cannot be built: ${(cause as Error).message}`, { cause });
  }
  try {
    const target = `sampler${name.endsWith('32') ? '32' : '64'}`;
    const made = spawnSync('make', ['-s', '-C', join(makefile, '..'), `OUT=${work}`, target], {
      encoding: 'utf8',
      timeout: 60_000,
    });
    if (made.status !== 0) {
      const said =
        made.error?.message ?? (made.stderr.match(/.*error.*/)?.[0] || made.stderr).trim().split('\n', 1)[0];
      throw new UsageError(`the sampler cannot be built (needs make, gcc and gcc-multilib): ${said}`);
    }
    renameSync(join(work, name), join(cache, name));
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/** An initial RAM disk (cpio, newc) that holds the sampler as its /init and a console for it. */
export function samplerDisk(program: Uint8Array): Uint8Array {
  const DIRECTORY = 0o040755;
  const EXECUTABLE = 0o100755;
  const CHARACTER_DEVICE = 0o020600;
  return Buffer.concat([
    entry('dev', DIRECTORY),
    entry('dev/console', CHARACTER_DEVICE, Buffer.alloc(0), [5, 1]),
    entry('init', EXECUTABLE, program),
    entry('TRAILER!!!', 0),
  ]);
}

/** One file (Documentation/driver-api/early-userspace/buffer-format.rst). */
function entry(
  name: string,
  mode: number,
  data: Uint8Array = Buffer.alloc(0),
  device: readonly number[] = [0, 0],
): Buffer {
  const fields = [1, mode, 0, 0, 1, 0, data.length, 0, 0, ...device, name.length + 1, 0];
  const header = `070701${fields.map((field) => field.toString(16).padStart(8, '0')).join('')}${name}\0`;
  return Buffer.concat([padded(Buffer.from(header)), padded(data)]);
}

const padded = (bytes: Uint8Array): Buffer => Buffer.concat([bytes, Buffer.alloc(-bytes.length & 3)]);
