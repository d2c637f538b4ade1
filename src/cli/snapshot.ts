/** `commonhv snapshot`: the leaves of a processor, as `cpuid -r` prints them or as JSON. */
import { format, snapshot } from '../snapshot.ts';
import { readDump } from './dump.ts';
import type { Io } from './io.ts';
import type { ProcessorOptions } from './processor.ts';
import { openProcessor, unlessStopped } from './processor.ts';

export interface SnapshotOptions extends ProcessorOptions {
  readonly format: 'cpuid' | 'json';
}

export async function runSnapshot(options: SnapshotOptions, io: Io): Promise<number> {
  if (options.from !== undefined) {
    await io.out(format(await readDump(options.from, io), options.format));
    return 0;
  }
  const processor = await openProcessor(options, io);
  try {
    await io.out(format([await unlessStopped(processor, snapshot(processor.cpu))], options.format));
  } finally {
    await processor.close();
  }
  return 0;
}
