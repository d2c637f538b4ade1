/** The processor of another hypervisor, through the probe guest: a command's standard streams, or a serial line. */
import { MachineError } from '../cpu.ts';
import type { Mode, SerialCpu } from '../probe/index.ts';
import { GREETING_MS, greet, openLine } from './greeting.ts';
import { type Io, UsageError } from './io.ts';
import type { Processor, ProcessorOptions } from './processor.ts';

/** Opens `--exec` or `--serial`. Throws a `MachineError` where no probe answers in time. */
export async function openRemote(options: ProcessorOptions, io: Io): Promise<Processor> {
  const { timeout } = options;
  const line = await openLine(options);
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
    return { ...inMode(await greet(line, options, greetingTimeout, io), options), stopped, close };
  } catch (cause) {
    await close();
    const why = stopped();
    throw why === undefined ? cause : new MachineError(why, { cause });
  }
}

/** The guest's processor in the mode of `--cpl` and `--bits`, and at CPL 3 to compare with. */
function inMode(cpu: SerialCpu, { cpl, bits }: ProcessorOptions): Pick<Processor, 'cpu' | 'mode' | 'other'> {
  const mode: Mode = { cpl: cpl ?? cpu.mode.cpl, bits: bits ?? cpu.mode.bits };
  const has = (wanted: Mode): boolean =>
    cpu.modes.some((one) => one.cpl === wanted.cpl && one.bits === wanted.bits);
  if (!has(mode)) {
    throw new UsageError(
      has({ ...mode, bits: 32 })
        ? '--bits 64: the guest was entered in 32-bit mode; boot it by UEFI, or as commonhv probe --form elf'
        : '--cpl 3: the guest runs an older image of commonhv probe',
    );
  }
  const user: Mode = { ...mode, cpl: 3 };
  const compared = mode.cpl === 0 && has(user);
  return { cpu: cpu.inMode(mode), mode, ...(compared && { other: () => cpu.inMode(user) }) };
}
