/** `commonhv dump`: the leaves of a processor, or one of them, in the form of a tool. */

import { hex } from '../cpu.ts';
import { type DumpFormat, dump, formatDump, type Recorded } from '../cpuid-dump.ts';
import { modeText } from '../probe/wire.ts';
import { type Io, UsageError } from './io.ts';
import type { ProcessorOptions } from './processor.ts';
import { openProcessor, unlessStopped } from './processor.ts';

export interface DumpOptions extends ProcessorOptions {
  readonly format: DumpFormat;
  /** One leaf only. */
  readonly leaf?: number | undefined;
  readonly subleaf?: number | undefined;
}

export async function runDump(options: DumpOptions, io: Io): Promise<number> {
  if (options.subleaf !== undefined && options.leaf === undefined)
    throw new UsageError('--subleaf goes with --leaf');
  const recorded =
    options.from === undefined ? await ofProcessor(options, io) : await ofFiles(options.from, options, io);
  await io.out(formatDump(recorded, options.format));
  return 0;
}

async function ofFiles(
  files: readonly string[],
  { leaf, subleaf = 0 }: DumpOptions,
  io: Io,
): Promise<readonly Recorded[]> {
  const { readMachines } = await import('./read-dump.ts');
  // Each machine's processors are numbered from 0, so that a reader tells the machines apart again.
  const cpus = (await readMachines(files, io)).flatMap((machine) =>
    machine.cpus.map(({ dump, number }, i) => ({ dump, number: number ?? i })),
  );
  if (leaf === undefined) return cpus;
  const one = cpus.map(({ dump, number }) => ({
    number,
    dump: dump.filter((row) => row.leaf === leaf && (!row.indexed || row.subleaf === subleaf)),
  }));
  if (one.some(({ dump }) => dump.length > 0)) return one.filter(({ dump }) => dump.length > 0);
  throw new UsageError(
    `--leaf ${hex(leaf)}: leaf ${hex(leaf)} subleaf ${subleaf} was not recorded in ${files.join(', ')}`,
  );
}

async function ofProcessor(options: DumpOptions, io: Io): Promise<readonly Recorded[]> {
  const { leaf, subleaf = 0, cpu: number } = options;
  const processor = await openProcessor(options, io);
  try {
    const { cpu, mode } = processor;
    if (mode !== undefined) io.err(`commonhv: asked at ${modeText(mode)}`);
    if (leaf === undefined) return [{ number, dump: await unlessStopped(processor, dump(cpu)) }];
    const regs = await unlessStopped(processor, Promise.resolve(cpu.cpuid(leaf, subleaf)));
    return [{ number, dump: [{ leaf, subleaf, indexed: subleaf > 0, ...regs }] }];
  } finally {
    await processor.close();
  }
}
