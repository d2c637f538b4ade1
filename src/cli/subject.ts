/** The processor that a command asks: the probe guest's on an engine that runs guests, or the model. */
import type { Cpu, Machine } from '../cpu.ts';
import { bare, MachineError } from '../cpu.ts';
import { model } from '../engines/model.ts';
import { overSerial, probeImage } from '../probe/index.ts';
import { openEngine } from './engines.ts';
import type { Io } from './io.ts';
import { layerFrom } from './layer.ts';
import type { GuestOptions, LayerOptions } from './options.ts';

export interface Subject {
  readonly engine: string;
  readonly cpu: Cpu;
  /** The processor of one more machine, resumed from this one's state as it is now; absent where the engine cannot. */
  resume?(): Promise<Cpu>;
  /** Ends every machine that was started for it. */
  close(): Promise<void>;
}

/** The probe runs below 1 MiB; less memory starts faster and saves smaller. */
const PROBE_MEMORY = 16 * 2 ** 20;

/** Starts what the options say. Ctrl-C and `--timeout` end it: what is asked of it then fails. */
export async function openSubject(options: LayerOptions & GuestOptions, io: Io): Promise<Subject> {
  const { engine: name = 'v86' } = options;
  if (name === 'model') {
    const layer = await layerFrom(options, bare);
    return { engine: name, cpu: model(layer), async close() {} };
  }
  const engine = await openEngine({ memory: PROBE_MEMORY, ...options });
  const layer = await layerFrom(options, await engine.below());
  const machines: Machine[] = [];
  const close = async (): Promise<void> => {
    clearTimeout(timer);
    io.interrupted.removeEventListener('abort', close);
    await Promise.all(machines.map((machine) => machine.close()));
  };
  let late = false;
  const expire = (): void => {
    late = true;
    void close();
  };
  const timer = options.timeout === undefined ? undefined : setTimeout(expire, options.timeout * 1000);
  io.interrupted.addEventListener('abort', close);
  const ask = async (machine: Machine): Promise<Cpu> => {
    machines.push(machine);
    if (late || io.interrupted.aborted) await machine.close(); // it came when the others were closed already
    return overSerial(machine.console);
  };
  try {
    const machine = await engine.start(layer, { kernel: probeImage() });
    const cpu = await ask(machine);
    if (engine.resume === undefined || machine.save === undefined) return { engine: name, cpu, close };
    const resume = async (): Promise<Cpu> => ask(await engine.resume!(layer, await machine.save!()));
    return { engine: name, cpu, resume, close };
  } catch (cause) {
    await close();
    if (late)
      throw new MachineError(`the guest did not answer within ${options.timeout} s (--timeout)`, { cause });
    throw cause;
  }
}
