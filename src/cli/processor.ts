/** The processor that a command only asks: the one that we run on, or a guest's, or the model's. */
import type { Cpu } from '../cpu.ts';
import type { Io } from './io.ts';
import { UsageError } from './io.ts';
import type { EngineName, GuestOptions, LayerOptions } from './options.ts';
import { layerOptions } from './options.ts';

/** A processor, and an end to whatever answers for it. */
export interface Processor {
  readonly cpu: Cpu;
  close(): Promise<void>;
}

export interface ProcessorOptions extends LayerOptions, GuestOptions {
  readonly engine: EngineName;
  /** The logical processor, for the native engine. */
  readonly cpu?: number;
  /** A recorded machine instead: a file, or `-`. */
  readonly from?: string;
  /** The names of the options that stood on the command line. */
  readonly given: readonly string[];
}

/** Throws a UsageError where an option says something of another processor than the one that is asked. */
export function checkOptions({ engine, from, given }: ProcessorOptions): void {
  const ofLayer = layerOptions().map((option) => option.attributeName());
  const foreign = given.find((name) => {
    if (name === 'engine') return from !== undefined;
    if (name === 'cpu') return from !== undefined || engine !== 'native';
    if (name === 'memory' || name === 'timeout')
      return from !== undefined || !['v86', 'kvm'].includes(engine);
    return ofLayer.includes(name) && (from !== undefined || engine === 'native');
  });
  if (foreign === undefined) return;
  const flag = foreign.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
  throw new UsageError(
    `--${flag} says nothing of ${from === undefined ? `--engine ${engine}` : '--from a file'}`,
  );
}

/** Throws a `MachineError` where the engine is not to be had. */
export async function openProcessor(options: ProcessorOptions, io: Io): Promise<Processor> {
  if (options.engine !== 'native') return (await import('./subject.ts')).openSubject(options, io);
  const { native } = await import('../engines/native/index.ts');
  const cpu = native({ cpu: options.cpu });
  return { cpu, close: async () => cpu.close() };
}
