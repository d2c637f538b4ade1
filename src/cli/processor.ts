/** The processor that a command only asks: the one that we run on, or a guest's, or the model's. */
import { type Cpu, MachineError } from '../cpu.ts';
import { type NativeCpu, native } from '../engines/native/index.ts';
import type { Mode } from '../probe/index.ts';
import type { Io } from './io.ts';
import type { EngineName, GuestOptions, LayerOptions } from './options.ts';

/** A processor, and an end to whatever answers for it. */
export interface Processor {
  readonly cpu: Cpu;
  /** Why it was ended before it was closed: `--timeout` or Ctrl-C; later answers do not count. */
  stopped?(): string | undefined;
  /** With the native engine: how CPUID is executed. */
  readonly how?: 'driver' | 'instruction' | undefined;
  /** With a probe guest: the mode that it asks in. */
  readonly mode?: Mode | undefined;
  /** What a process sees, where `cpu` asks as the kernel and nothing was chosen. */
  other?(): Cpu | undefined;
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
  readonly cpu?: number | undefined;
  /** How the native engine executes CPUID. */
  readonly through?: 'driver' | 'instruction' | undefined;
  /** Recorded machines instead: files, or `-`. */
  readonly from?: readonly string[] | undefined;
  /** Another hypervisor's probe guest instead: a command, or a serial line. */
  readonly exec?: string | undefined;
  readonly serial?: string | undefined;
  /** The mode that the probe guest asks in. */
  readonly cpl?: 0 | 3 | undefined;
  readonly bits?: 32 | 64 | undefined;
}

/** Throws a `MachineError` where the engine is not to be had. */
export async function openProcessor(options: ProcessorOptions, io: Io): Promise<Processor> {
  if (options.exec !== undefined || options.serial !== undefined) {
    return (await import('./remote.ts')).openRemote(options, io);
  }
  if (options.engine === 'native') return openNative(options.cpu, options.through);
  return (await import('./implementation.ts')).openProbe(options, io);
}

/** The machine that we run on. */
export function openNative(cpu?: number, through?: 'driver' | 'instruction'): Processor {
  const opened = native({ cpu, through });
  const { how } = opened;
  let second: NativeCpu | undefined;
  const other = (): Cpu | undefined => {
    try {
      second ??= native({ cpu, through: 'instruction' });
    } catch {
      return undefined; // one view is enough
    }
    return second;
  };
  return {
    cpu: opened,
    how,
    // Without the driver's view there is nothing to compare with.
    ...(through === undefined && how === 'driver' && { other }),
    async close() {
      opened.close();
      second?.close();
    },
  };
}
