/** CPUID dumps of files, for `--from`; each line that cannot be read is reported. */
import { createReadStream } from 'node:fs';
import type { RecordedCpu } from '../cpuid-dump.ts';
import { parseDump } from '../cpuid-dump.ts';
import { type Io, printable, UsageError, unread } from './io.ts';

/** `cpuid -r` prints 3 KB for a processor; the largest machines have some thousand of them. */
const MAX_BYTES = 32 * 2 ** 20;
const EXPECTED =
  'expected CPUID leaves, as cpuid -r, AIDA64, libcpuid, kcpuid, xen-cpuid -p or commonhv dump write them';

/** The processors of a machine, and a name for it in messages. */
export interface RecordedMachine {
  readonly name: string;
  readonly cpus: readonly RecordedCpu[];
}

/** Reads files, or standard input for `-`. Throws a UsageError where there is no leaf in one of them. */
export async function readMachines(files: readonly string[], io: Io): Promise<readonly RecordedMachine[]> {
  const machines: RecordedMachine[] = [];
  for (const file of files) machines.push(...(await machinesOf(file, io)));
  return machines;
}

async function machinesOf(file: string, io: Io): Promise<readonly RecordedMachine[]> {
  const name = file === '-' ? 'standard input' : printable(file);
  const { processors, problems } = parseDump(await readAll(file, name, io));
  if (processors.length === 0) throw new UsageError(`${name}: ${EXPECTED}: ${problems.join('; ')}`);
  for (const problem of problems) io.err(`commonhv: ${name}: ${problem}`);
  const machines = new Map<number, RecordedCpu[]>();
  for (const cpu of processors) {
    const cpus = machines.get(cpu.machine);
    if (cpus === undefined) machines.set(cpu.machine, [cpu]);
    else cpus.push(cpu);
  }
  if (machines.size === 1) return [{ name, cpus: processors }];
  return [...machines.values()].map((cpus) => ({
    name: `${name}, ${cpus[0]!.view ?? 'the machine'} at line ${cpus[0]!.line}`,
    cpus,
  }));
}

async function readAll(file: string, name: string, io: Io): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  try {
    for await (const chunk of file === '-' ? io.input() : createReadStream(file)) {
      size += chunk.length;
      if (size > MAX_BYTES) break;
      chunks.push(chunk);
    }
  } catch (cause) {
    throw new UsageError(`${name}: ${unread(cause as NodeJS.ErrnoException)}`, { cause });
  }
  if (size > MAX_BYTES) throw new UsageError(`${name}: ${EXPECTED}, got more than ${MAX_BYTES >> 20} MiB`);
  return Buffer.concat(chunks);
}
