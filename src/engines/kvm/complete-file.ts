/** Files whose name never stands for half of them. */
import { randomBytes } from 'node:crypto';
import {
  chmodSync,
  closeSync,
  existsSync,
  fsyncSync,
  openSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';

/** So long a part was not written to before it counts as left behind, in milliseconds: its process may be in another container. */
const STALE_MS = 60_000;

/**
 * Writes a file next to `path`, and renames it when it is complete and on disk. What fails leaves no file; parts that a
 * killed process left behind are removed first. The file is read-only: machines run from it. Throws what `write` throws,
 * and errors of the file system.
 */
export async function writeCompleteFile(path: string, write: (fd: number) => Promise<void>): Promise<void> {
  removeStaleParts(path);
  const part = `${path}.${process.pid}-${randomBytes(4).toString('hex')}.part`;
  try {
    const fd = openSync(part, 'wx', 0o600);
    try {
      await write(fd);
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    chmodSync(part, 0o400);
    renameSync(part, path);
  } catch (error) {
    rmSync(part, { force: true });
    throw error;
  }
}

/** Parts of `path` whose process has ended. */
function removeStaleParts(path: string): void {
  const folder = dirname(path);
  const head = `${basename(path)}.`;
  if (!existsSync(folder)) return;
  for (const name of readdirSync(folder)) {
    const [, pid] =
      (name.startsWith(head) && /^(\d+)-[0-9a-f]{8}\.part$/.exec(name.slice(head.length))) || [];
    if (pid === undefined || isAlive(Number(pid))) continue;
    const part = join(folder, name);
    const written = statSync(part, { throwIfNoEntry: false })?.mtimeMs ?? Number.POSITIVE_INFINITY;
    if (Date.now() - written > STALE_MS) rmSync(part, { force: true });
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ESRCH';
  }
}
