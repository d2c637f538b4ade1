/** Folders for files whose paths stand in the user's commands. */
import { accessSync, constants } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { UsageError } from './io.ts';

/** Characters that neither a shell nor the options of a VMM take for something else; QEMU splits its options at commas. */
const PLAIN = /^[\w./+-]+$/;

/**
 * Makes a folder below the system's for temporary files, or where that one's path is not plain below another: a path of
 * one word, whatever quotes the user's command has around it. Throws a UsageError where there is none.
 */
export async function temporaryFolder(prefix: string): Promise<string> {
  const places = [tmpdir(), '/tmp', '/var/tmp', homedir()];
  const place = places.find((path) => PLAIN.test(path) && isWritable(path));
  if (place === undefined)
    throw new UsageError(
      `TMPDIR ${tmpdir()}: expected a folder that can be written, without spaces and other characters of the shell in its path`,
    );
  return mkdtemp(join(place, prefix));
}

function isWritable(path: string): boolean {
  try {
    accessSync(path, constants.W_OK | constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
