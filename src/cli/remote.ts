/** The processor of another hypervisor, through the probe guest: a command's standard streams, or a serial line. */
import { MachineError } from '../cpu.ts';
import { overSerial } from '../probe/index.ts';
import type { Io } from './io.ts';
import { commandLine, serialLine } from './line.ts';
import type { Processor, ProcessorOptions } from './processor.ts';

/** Firmware and boot loaders run before the probe greets, in milliseconds. */
const GREETING_MS = 30_000;

/** Opens `--exec` or `--serial`. Throws a `MachineError` where no probe answers in time. */
export async function openRemote({ exec, serial, timeout }: ProcessorOptions, io: Io): Promise<Processor> {
  const line = exec === undefined ? await serialLine(serial!) : await commandLine(exec);
  let late = false;
  const close = async (): Promise<void> => {
    clearTimeout(timer);
    io.interrupted.removeEventListener('abort', close);
    await line.close();
  };
  const expire = (): void => {
    late = true;
    void close();
  };
  const timer = timeout === undefined ? undefined : setTimeout(expire, timeout * 1000);
  io.interrupted.addEventListener('abort', close);
  const stopped = (): string | undefined =>
    io.interrupted.aborted
      ? 'interrupted'
      : late
        ? `it took longer than ${timeout} s (--timeout)`
        : undefined;
  try {
    const greetingTimeout = Math.min((timeout ?? Number.POSITIVE_INFINITY) * 1000, GREETING_MS);
    // A guest that runs already has greeted before: it is asked soon.
    const pokeIntervalMs = exec === undefined ? 250 : 1000;
    return { cpu: await overSerial(line.console, { greetingTimeout, pokeIntervalMs }), stopped, close };
  } catch (cause) {
    const gone = await line.gone();
    await close();
    const why =
      stopped() ??
      (gone &&
        `${exec === undefined ? '--serial: the other end' : '--exec: the command'} ${gone}, before the probe guest greeted`);
    throw why === undefined ? cause : new MachineError(why, { cause });
  }
}
