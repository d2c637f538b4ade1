/** The processor that a command asks: the probe guest's on an engine that runs guests, or the model. */
import type { MachineUnderTest, MemoryControl } from '../conformance/index.ts';
import type { Console, Cpu, Machine } from '../cpu.ts';
import { bare, MachineError } from '../cpu.ts';
import { model } from '../engines/model.ts';
import { fromConfig, type LayerEvent } from '../hypervisor/index.ts';
import { overSerial, probeImage, type SerialCpu } from '../probe/index.ts';
import { openEngine, reporter, startGuest } from './engines.ts';
import type { Io } from './io.ts';
import { layerFrom, resolveConfig, warnDeterministic } from './layer.ts';
import type { GuestOptions, LayerOptions } from './options.ts';

export interface ImplementationUnderTest {
  readonly engine: string;
  readonly cpu: Cpu;
  /** The machine's other processors, where it has several that can be asked. */
  readonly others?: readonly Cpu[] | undefined;
  /** The same processors, asked at CPL 3; throws the `MachineError` of a machine of its own that did not come back from there. */
  ring3?(): Promise<readonly Cpu[]>;
  /** The machine's memory, where the engine gives it. */
  readonly memory?: MemoryControl | undefined;
  /** Stops the machine's processors for a moment; absent where the engine cannot. */
  pause?(): Promise<void>;
  /** One more machine, resumed from the state that was saved last; absent where the engine cannot. */
  resume?(): Promise<readonly Cpu[] | MachineUnderTest>;
  /** Saves the running machine, which goes on; the next two take the first state where it was never called. */
  save?(): Promise<void>;
  /** Restores that state into this machine, in place: its processors are the same objects. */
  restore?(): Promise<void>;
  /** How many acknowledgements the layers have reported. */
  acknowledgements?(): number;
  /** One more machine that is started in the same way. */
  another?(): Promise<readonly Cpu[] | MachineUnderTest>;
  /** Why it was ended before it was closed: `--timeout` or Ctrl-C; later answers do not count. */
  stopped?(): string | undefined;
  /** Ends every machine that was started for it. */
  close(): Promise<void>;
}

/** The probe runs below 1 MiB; less memory starts faster and saves smaller. */
const PROBE_MEMORY = 4 * 2 ** 20;

/** A resumed probe has greeted in an earlier life: it is asked again at once, in milliseconds. */
const RESUMED = 5;

/** For commands that only ask, and whose output has no place for a word about the source. */
export function openProbe(options: LayerOptions & GuestOptions, io: Io): Promise<ImplementationUnderTest> {
  warnDeterministic(options, io);
  return openImplementation(options, io);
}

/** Starts the implementation of the options. Ctrl-C and `--timeout` end it: later questions fail. */
export async function openImplementation(
  options: LayerOptions & GuestOptions,
  io: Io,
): Promise<ImplementationUnderTest> {
  const { engine: name = 'v86' } = options;
  if (name === 'model') {
    const layer = await layerFrom(options, bare);
    const cpu = model(layer);
    // A machine without memory: its state is nothing, and its layer's state is not saved.
    const another = async (): Promise<readonly Cpu[]> => [model(layer)];
    const restore = async (): Promise<void> => {
      cpu.restored?.();
    };
    // A new machine of the layer is a resumed one too.
    return { engine: name, cpu, resume: another, restore, another, async close() {} };
  }
  const engine = await openEngine({ memory: PROBE_MEMORY, ...options });
  const data = await resolveConfig(options, await engine.hostCpu());
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
  const stopped = (): string | undefined =>
    io.interrupted.aborted
      ? 'interrupted'
      : late
        ? `it took longer than ${options.timeout} s (--timeout)`
        : undefined;
  const ask = async (machine: Machine, timeoutMs: number): Promise<[SerialCpu, ...SerialCpu[]]> => {
    machines.push(machine);
    if (late || io.interrupted.aborted) await machine.close(); // it came when the others were closed already
    const [first, ...others] = machine.consoles ?? [machine.console];
    const processor = (console: Console): Promise<SerialCpu> =>
      overSerial(console, { pokeIntervalMs: timeoutMs });
    return Promise.all([processor(first!), ...others.map(processor)]);
  };
  // The suite acknowledges by itself: that is counted, and nothing to tell.
  let acknowledged = 0;
  const report = (event: LayerEvent): void => {
    if (event.kind === 'acknowledged') acknowledged++;
    else reporter(io)(event);
  };
  const start = (): Promise<Machine> => startGuest(engine, data, { kernel: probeImage() }, io, report);
  try {
    const machine = await start();
    const [cpu, ...others] = await ask(machine, 1_000);
    const pause = async (): Promise<void> => {
      await machine.pause?.();
      await machine.unpause?.();
    };
    let saved: Promise<Uint8Array> | undefined;
    const save = async (): Promise<void> => {
      saved = machine.save!();
      await saved;
    };
    const state = (): Promise<Uint8Array> => {
      saved ??= machine.save!();
      return saved;
    };
    const resume = async (): Promise<MachineUnderTest> => {
      const copy = await engine.resume!(fromConfig(data), await state());
      return whole(copy, await ask(copy, RESUMED));
    };
    // The machine that came back from CPL 3 is the first of the others: a start costs more than all else.
    let tried: MachineUnderTest | undefined;
    const another = async (): Promise<MachineUnderTest> => {
      const ready = tried;
      tried = undefined;
      if (ready !== undefined) return ready;
      const next = await start();
      return whole(next, await ask(next, 1_000));
    };
    const ring3 = async (): Promise<readonly Cpu[]> => {
      const next = await start();
      const processors = await ask(next, 1_000);
      await processors[0].ring3?.rdmsr(0);
      tried = whole(next, processors);
      return [cpu, ...others].flatMap((one) => one.ring3 ?? []);
    };
    const restore = async (): Promise<void> => {
      await machine.restore!(await state()); // the guest waits for a line, as it did when it was saved
    };
    return {
      engine: name,
      cpu,
      another,
      // A layer in another thread reports later than the guest reads on.
      ...(engine.startModule === undefined && { acknowledgements: () => acknowledged }),
      ...(others.length > 0 && { others }),
      ...(machine.memory && { memory: machine.memory }),
      ring3,
      ...(machine.pause && machine.unpause && { pause }),
      ...(machine.save && { save }),
      ...(engine.resume && machine.save && { resume }),
      ...(machine.restore && machine.save && { restore }),
      stopped,
      close,
    };
  } catch (cause) {
    await close();
    const why = stopped();
    throw why === undefined ? cause : new MachineError(why, { cause });
  }
}

const whole = ({ memory }: Machine, [cpu, ...others]: readonly [Cpu, ...Cpu[]]): MachineUnderTest => ({
  cpu,
  ...(others.length > 0 && { others }),
  ...(memory && { memory }),
});
