/** `commonhv dump`: the leaves of a processor, as `cpuid -r` prints them or as JSON. */
import { dump, formatDump } from '../cpuid-dump.ts';
import type { Io } from './io.ts';
import type { ProcessorOptions } from './processor.ts';
import { openProcessor, unlessStopped } from './processor.ts';
import { readDump } from './read-dump.ts';

export interface DumpOptions extends ProcessorOptions {
  readonly format: 'cpuid' | 'json';
}

export async function runDump(options: DumpOptions, io: Io): Promise<number> {
  if (options.from !== undefined) {
    await io.out(formatDump(await readDump(options.from, io), options.format));
    return 0;
  }
  const processor = await openProcessor(options, io);
  try {
    await io.out(formatDump([await unlessStopped(processor, dump(processor.cpu))], options.format));
  } finally {
    await processor.close();
  }
  return 0;
}
