/** The processor that a command asks: the probe guest's on an engine that runs guests, or the model. */
import { setFlagsFromString } from 'node:v8';
import type { MachineUnderTest, MemoryControl } from '../conformance/index.ts';
import type { Console, Cpu, Engine, Layer, Machine } from '../cpu.ts';
import { bare, MachineError } from '../cpu.ts';
import { model } from '../engines/model.ts';
import { type Config, commonhv, type LayerEvent, optionsOf } from '../hypervisor/index.ts';
import { overSerial, probeImage, type SerialCpu } from '../probe/index.ts';
import { openEngine, reporter, startGuest } from './engines.ts';
import type { Io } from './io.ts';
import { configFrom, layerFrom, warnDeterministic } from './layer.ts';
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
  /** Changes the generation that the layers take for the outer hypervisor's. */
  renewOuter?(): Promise<void>;
  /** Resets the machine: its processors are the same objects. Only the model can: an engine's guest has no firmware to load it. */
  reset?(): Promise<void>;
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

/**
 * V8's optimizing compiler takes longer for v86's module than the probe runs for, and keeps a small machine's processors busy: so it
 * begins after so many bytes of code only (1.8 million by default).
 */
const NEVER = 2_000_000_000;

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
  if (name === 'model') return modelUnderTest(await layerFrom(options, bare));
  if (name === 'v86') setFlagsFromString(`--wasm-tiering-budget=${NEVER}`);
  const engine = await openEngine({ memory: PROBE_MEMORY, ...options });
  const probes = new Probes(engine, await configFrom(options, await engine.hostCpu()), options.timeout, io);
  try {
    return engineUnderTest(name, engine, probes, await probes.start());
  } catch (cause) {
    await probes.close();
    const why = probes.stopped();
    throw why === undefined ? cause : new MachineError(why, { cause });
  }
}

function modelUnderTest(layer: Layer): ImplementationUnderTest {
  const cpu = model(layer);
  // A machine without memory: its state is nothing, and its layer's state is not saved.
  const another = async (): Promise<readonly Cpu[]> => [model(layer)];
  const restore = async (): Promise<void> => {
    cpu.restored?.();
  };
  const reset = async (): Promise<void> => {
    cpu.reset?.();
  };
  // A new machine of the layer is a resumed one too.
  return { engine: 'model', cpu, resume: another, restore, another, reset, async close() {} };
}

/** A machine in which the probe runs, and its processors. */
interface Probe {
  readonly machine: Machine;
  readonly processors: readonly [SerialCpu, ...SerialCpu[]];
}

/** The machines that were started for one implementation: they end together, at Ctrl-C and `--timeout` too. */
class Probes {
  /** How many acknowledgements the layers have reported: the suite acknowledges by itself, so they are counted only. */
  acknowledged = 0;
  /** Stands for the outer hypervisor's. A layer in another thread does not see it. */
  outerGeneration = 1n;
  readonly #engine: Engine;
  readonly #config: Config;
  readonly #timeout: number | undefined;
  readonly #io: Io;
  readonly #machines: Machine[] = [];
  readonly #timer: NodeJS.Timeout | undefined;
  #late = false;

  constructor(engine: Engine, config: Config, timeout: number | undefined, io: Io) {
    this.#engine = engine;
    this.#config = config;
    this.#timeout = timeout;
    this.#io = io;
    this.#timer = timeout === undefined ? undefined : setTimeout(this.#expire, timeout * 1000);
    io.interrupted.addEventListener('abort', this.close);
  }

  async start(): Promise<Probe> {
    const report = (event: LayerEvent): void => {
      if (event.kind === 'acknowledged') this.acknowledged++;
      else if (event.kind !== 'renewed') reporter(this.#io)(event);
    };
    const guest = { kernel: probeImage() };
    const started =
      this.#engine.startModule === undefined
        ? this.#engine.start(this.#layer(report), guest)
        : startGuest(this.#engine, this.#config, guest, this.#io, report);
    return this.#ask(await started, 1_000);
  }

  async resume(state: Uint8Array): Promise<Probe> {
    return this.#ask(await this.#engine.resume!(this.#layer(), state), RESUMED);
  }

  #layer(onEvent?: (event: LayerEvent) => void): Layer {
    const options = optionsOf(this.#config, onEvent);
    const { generation } = options;
    return commonhv({
      ...options,
      generation: generation && { ...generation, outer: () => this.outerGeneration },
    });
  }

  stopped(): string | undefined {
    if (this.#io.interrupted.aborted) return 'interrupted';
    return this.#late ? `it took longer than ${this.#timeout} s (--timeout)` : undefined;
  }

  readonly close = async (): Promise<void> => {
    clearTimeout(this.#timer);
    this.#io.interrupted.removeEventListener('abort', this.close);
    await Promise.all(this.#machines.map((machine) => machine.close()));
  };

  readonly #expire = (): void => {
    this.#late = true;
    void this.close();
  };

  async #ask(machine: Machine, pokeIntervalMs: number): Promise<Probe> {
    this.#machines.push(machine);
    if (this.stopped() !== undefined) await machine.close(); // it came when the others were closed already
    const [first, ...others] = machine.consoles ?? [machine.console];
    const processor = (console: Console): Promise<SerialCpu> => overSerial(console, { pokeIntervalMs });
    return { machine, processors: await Promise.all([processor(first!), ...others.map(processor)]) };
  }
}

function engineUnderTest(
  name: string,
  engine: Engine,
  probes: Probes,
  { machine, processors }: Probe,
): ImplementationUnderTest {
  const [cpu, ...others] = processors;
  let saved: Promise<Uint8Array> | undefined;
  const state = (): Promise<Uint8Array> => {
    saved ??= machine.save!();
    return saved;
  };
  // The machine that came back from CPL 3 is the first of the others: a start costs more than all else.
  let tried: MachineUnderTest | undefined;
  return {
    engine: name,
    cpu,
    async another() {
      const ready = tried;
      tried = undefined;
      return ready ?? whole(await probes.start());
    },
    async ring3() {
      const next = await probes.start();
      await next.processors[0].ring3?.rdmsr(0);
      tried = whole(next);
      return processors.flatMap((one) => one.ring3 ?? []);
    },
    // A layer in another thread reports later than the guest reads on.
    ...(engine.startModule === undefined && {
      acknowledgements: () => probes.acknowledged,
      async renewOuter() {
        probes.outerGeneration++;
      },
    }),
    ...(others.length > 0 && { others }),
    ...(machine.memory && { memory: machine.memory }),
    ...(machine.pause && machine.unpause && { pause: () => pauseBriefly(machine) }),
    ...(machine.save && {
      async save() {
        saved = machine.save!();
        await saved;
      },
    }),
    ...(engine.resume && machine.save && { resume: async () => whole(await probes.resume(await state())) }),
    // The guest waits for a line, as it did when it was saved.
    ...(machine.restore && machine.save && { restore: async () => machine.restore!(await state()) }),
    stopped: () => probes.stopped(),
    close: probes.close,
  };
}

async function pauseBriefly(machine: Machine): Promise<void> {
  await machine.pause?.();
  await machine.unpause?.();
}

const whole = ({ machine: { memory }, processors: [cpu, ...others] }: Probe): MachineUnderTest => ({
  cpu,
  ...(others.length > 0 && { others }),
  ...(memory && { memory }),
});
