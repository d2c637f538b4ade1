/** The processor that a command only asks: the one that we run on, or a guest's, or the model's. */
import { type Cpu, MachineError } from '../cpu.ts';
import { native } from '../engines/native/index.ts';
import type { Io } from './io.ts';
import type { EngineName, GuestOptions, LayerOptions } from './options.ts';

/** A processor, and an end to whatever answers for it. */
export interface Processor {
  readonly cpu: Cpu;
  /** Why it was ended before it was closed: `--timeout` or Ctrl-C; later answers do not count. */
  stopped?(): string | undefined;
  close(): Promise<void>;
}

/** The answer of a processor, unless that was ended meanwhile: then a `MachineError` says why. */
export function unlessStopped<T>({ stopped }: Pick<Processor, 'stopped'>, asked: Promise<T>): Promise<T> {
  return asked.finally(() => {
    const why = stopped?.();
    if (why !== undefined) throw new MachineError(why);
  });
}

export interface ProcessorOptions extends LayerOptions, GuestOptions {
  readonly engine: EngineName;
  /** The logical processor, for the native engine. */
  readonly cpu?: number;
  /** A recorded machine instead: a file, or `-`. */
  readonly from?: string;
}

/** Throws a `MachineError` where the engine is not to be had. */
export async function openProcessor(options: ProcessorOptions, io: Io): Promise<Processor> {
  if (options.engine === 'native') return openNative(options.cpu);
  return (await import('./implementation.ts')).openProbe(options, io);
}

/** The machine that we run on. */
export function openNative(cpu?: number): Processor {
  const opened = native({ cpu });
  return { cpu: opened, close: async () => opened.close() };
}
