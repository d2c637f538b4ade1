/** CPUID dumps of a file, for `--from`; each line that cannot be read is reported. */
import { createReadStream } from 'node:fs';
import type { Parsed } from '../cpuid-dump.ts';
import { parseDump } from '../cpuid-dump.ts';
import type { Io } from './io.ts';
import { UsageError } from './io.ts';

/** `cpuid -r` prints 3 KB for a processor; the largest machines have some thousand of them. */
const MAX_BYTES = 32 * 2 ** 20;

/** Reads a file, or standard input for `-`. Throws a UsageError where there is no leaf in it. */
export async function readDump(file: string, io: Io): Promise<Parsed['cpus']> {
  const name = file === '-' ? 'standard input' : file;
  const chunks: Uint8Array[] = [];
  let size = 0;
  try {
    for await (const chunk of file === '-' ? io.input() : createReadStream(file)) {
      size += chunk.length;
      if (size > MAX_BYTES) break;
      chunks.push(chunk);
    }
  } catch (cause) {
    const { code = String(cause) } = cause as NodeJS.ErrnoException;
    const why =
      { ENOENT: 'there is no such file', EISDIR: 'it is a folder' }[code] ?? `it cannot be read: ${code}`;
    throw new UsageError(`${name}: ${why}`, { cause });
  }
  const expected = 'expected what cpuid -r or commonhv dump writes';
  if (size > MAX_BYTES) throw new UsageError(`${name}: ${expected}, got more than ${MAX_BYTES >> 20} MiB`);
  const { cpus, problems } = parseDump(Buffer.concat(chunks).toString('latin1'));
  if (cpus.length === 0) throw new UsageError(`${name}: ${expected}: ${problems.join('; ')}`);
  for (const problem of problems) io.err(`commonhv: ${name}: ${problem}`);
  return cpus;
}
