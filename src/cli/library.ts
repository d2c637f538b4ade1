/** The library of `commonhv preload`: compiled on first use into the user's cache, under the hash of its source. */
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { access, mkdir, readdir, readFile, rename, rm } from 'node:fs/promises';
import { arch, homedir, platform } from 'node:os';
import { isAbsolute, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { MachineError } from '../cpu.ts';
import { type Io, UsageError } from './io.ts';

/** As `c/preload/Makefile` has them. */
const FLAGS = ['-O2', '-std=gnu11', '-fPIC', '-fvisibility=hidden', '-shared', '-pthread'];
const COMPILE_MS = 120_000;
const WAY_OUT = 'or build it elsewhere (make -C c/preload) and give it by --library FILE';

/** The library's absolute path. `given` is --library. Throws a UsageError or MachineError that names the way out. */
export async function openLibrary(given: string | undefined, { env }: Pick<Io, 'env'>): Promise<string> {
  if (platform() !== 'linux' || arch() !== 'x64')
    throw new MachineError(`preload: expected Linux on x64, got ${platform()} on ${arch()}`);
  const path = given === undefined ? await cached(env) : resolve(given);
  // ld.so(8): LD_PRELOAD is separated by spaces or colons, without an escape.
  if (/[ :]/.test(path)) {
    const option = given === undefined ? 'XDG_CACHE_HOME' : '--library';
    throw new UsageError(`${option}: LD_PRELOAD cannot hold a path with a space or a colon: ${path}`);
  }
  if (given !== undefined) await checkLibrary(path, given);
  return path;
}

/** ld.so only prints a line about a file that is no library, and starts the program without it. */
async function checkLibrary(path: string, given: string): Promise<void> {
  const file = await readFile(path).catch(() => undefined);
  if (file === undefined) throw new UsageError(`--library ${given}: expected a file that can be read`);
  if (file.subarray(0, 4).toString('latin1') !== '\x7fELF' || !file.includes('COMMONHV_PRELOAD'))
    throw new UsageError(`--library ${given}: it is not the library that make -C c/preload builds`);
}

function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

async function cached(env: Io['env']): Promise<string> {
  // The command line is bundled: this is dist/cli, and c/ is shipped beside dist/.
  const root = fileURLToPath(new URL('../../c/', import.meta.url));
  const hash = createHash('sha256').update(FLAGS.join(' '));
  const sources: string[] = [];
  for (const folder of ['host', 'include', 'preload']) {
    for (const name of (await readdir(join(root, folder))).filter((file) => /\.[ch]$/.test(file)).sort()) {
      hash.update(`\0${folder}/${name}\0`).update(await readFile(join(root, folder, name)));
      if (name.endsWith('.c')) sources.push(join(root, folder, name));
    }
  }
  const home = env.XDG_CACHE_HOME ?? '';
  const folder = join(isAbsolute(home) ? home : join(homedir(), '.cache'), 'commonhv');
  const path = join(folder, `preload-${hash.digest('hex').slice(0, 16)}.so`);
  if (!(await exists(path))) await compile(path, sources, env.CC ?? 'cc');
  return path;
}

/** Renamed into place when it is whole, so that runs at the same time do not meet half a library. */
async function compile(path: string, sources: readonly string[], cc: string): Promise<void> {
  const unique = `${path}.${createHash('sha256').update(`${performance.timeOrigin} ${Math.random()}`).digest('hex').slice(0, 8)}`;
  try {
    await mkdir(join(path, '..'), { recursive: true, mode: 0o700 });
    await run(cc, [...FLAGS, '-o', unique, ...sources, '-ldl']);
    await rename(unique, path);
  } catch (error) {
    if (error instanceof MachineError) throw error;
    const { message } = error as Error;
    throw new MachineError(
      `preload: the library cannot be stored: ${message}; set XDG_CACHE_HOME, ${WAY_OUT}`,
    );
  } finally {
    await rm(unique, { force: true });
  }
}

function run(cc: string, args: readonly string[]): Promise<void> {
  return new Promise((done, fail) => {
    execFile(cc, args, { timeout: COMPILE_MS }, (error, _, stderr) => {
      if (error === null) return done();
      // EACCES: a folder of PATH may not be searched, and none of the others has it.
      if (error.code === 'ENOENT' || error.code === 'EACCES') {
        const cause = `preload: the C compiler ${cc}, which makes its library on first use, is not there`;
        return fail(new MachineError(`${cause}: install it (Debian: gcc libc6-dev), ${WAY_OUT}`));
      }
      const line = stderr.split('\n').find((text) => text.includes('error')) ?? error.message;
      fail(new MachineError(`preload: ${cc} cannot compile the library: ${line.trim()}; ${WAY_OUT}`));
    });
  });
}
