/** One machine's worker: starts or resumes a guest, asks it, and reports to the page. */
import type { Cpu, End, Image, Layer } from 'commonhv';
import type { FaultyCpu, Report } from 'commonhv/conformance';
import { dump } from 'commonhv/cpuid-dump';
import { type Discovery, detect, scan } from 'commonhv/guest';
import { probeImage } from 'commonhv/probe';
import type { Tally } from 'commonhv/trace';
import { type Draws, drawValues } from '../model/generator.ts';
import { type LayerExtras, rightLayer } from '../model/layer.ts';
import type { BootImage, Calls, Checked, Push, Saved, Seen } from '../model/protocol.ts';
import { type Row, readRows } from '../model/row.ts';
import type { Settings } from '../model/settings.ts';
import { type Bootable, type Booted, engineOf } from './engine.ts';
import { SerialLine } from './line.ts';
import { Recorder } from './recorder.ts';

/** Flush interval in milliseconds; 25 updates a second look continuous. */
const FLUSH_MS = 40;

export class WorkerMachine implements Calls {
  readonly #push: (message: Push) => void;
  readonly #module: Promise<WebAssembly.Module>;
  #booted: Booted | undefined;
  #line: SerialLine | undefined;
  #cpu: Cpu | undefined;
  /** The guest's last discovery, which may have found nothing. */
  #found: { readonly commonhv: Discovery | undefined } | undefined;
  #draws: Draws | undefined;
  #recorder: Recorder | undefined;
  #faultyCpu: FaultyCpu | undefined;
  #timer: ReturnType<typeof setInterval> | undefined;
  /** The look that the page asks for next after a start, begun before it does. */
  #ahead: Promise<Seen> | undefined;
  #engine: Bootable | undefined;
  #settings: Settings | undefined;
  #paused = false;

  constructor(push: (message: Push) => void, module: Promise<WebAssembly.Module>) {
    this.#push = push;
    this.#module = module;
  }

  async start(settings: Settings, image: BootImage | undefined): Promise<void> {
    this.#engine = await engineOf(settings, this.#module);
    if (image !== undefined) await beforeBusyGuest();
    const machine = await this.#engine.start(await this.#watch(settings), imageOf(image));
    await this.#run(machine, image === undefined, true);
  }

  async resume(settings: Settings, saved: Saved): Promise<void> {
    this.#draws = saved.draws;
    this.#engine = await engineOf(settings, this.#module);
    if (!saved.probe) await beforeBusyGuest();
    const machine = await this.#engine.resume(await this.#watch(settings, saved.generation), saved.state);
    await this.#run(machine, saved.probe, false);
  }

  async pause(): Promise<void> {
    await this.#booted?.pause();
    this.#paused = true;
    // Some faulty hypervisors are wrong about a pause, which no layer is told.
    this.#faultyCpu?.paused?.();
  }

  async unpause(): Promise<void> {
    await this.#booted?.unpause();
    this.#paused = false;
  }

  async stop(): Promise<void> {
    await this.#booted?.close();
  }

  async save(): Promise<Saved> {
    const machine = this.#running();
    // A guest reads its generation whenever it draws, so it has seen the one that it is saved with.
    const paused = this.#paused;
    if (paused) await this.unpause();
    if (this.#cpu && this.#draws) await this.draw(0);
    const generation = await this.#generation();
    const state = await machine.save();
    if (paused) await this.pause();
    return { state, draws: this.#draws, generation, probe: this.#cpu !== undefined };
  }

  async look(): Promise<Seen> {
    const ahead = this.#ahead;
    this.#ahead = undefined;
    return ahead ?? this.#look();
  }

  async #look(): Promise<Seen> {
    const detection = await detect(this.#guest());
    this.#found = detection;
    return { detection, rows: await readRows(this.#guest(), detection.commonhv) };
  }

  async lookAll(): Promise<readonly Row[]> {
    return dump(this.#guest());
  }

  async scan(): Promise<number> {
    return (await scan(this.#guest())).length;
  }

  async read(count: number): Promise<void> {
    const rng = (await this.#known())?.rng;
    if (rng === undefined) throw new Error('no RNG is offered: there is nothing to read');
    for (let i = 0; i < count; i++) {
      const value = await this.#guest().rdmsr(rng.msr);
      if (typeof value !== 'bigint') throw new Error(`reading the RNG raised ${value}`);
    }
  }

  async draw(count: number): Promise<BigUint64Array> {
    const { draws, values } = await drawValues(this.#guest(), await this.#known(), this.#draws, count);
    this.#draws = draws;
    return values;
  }

  async verify(): Promise<Report> {
    const machine = { ...this.#running(), pause: () => this.pause() };
    const { checked } = await import('./check.ts');
    return checked(this.#guest(), this.#settings!.draft, machine, (state) => this.#copy(state));
  }

  async check(): Promise<Checked> {
    if (this.#settings === undefined) throw new Error('there is no machine to check');
    const { checkedDirectly } = await import('./check.ts');
    return checkedDirectly(this.#settings);
  }

  async tally(): Promise<Tally> {
    if (this.#recorder === undefined) throw new Error('there is no machine to count for');
    // The events go first: whoever has the counts has them all.
    this.#flush();
    return this.#recorder.tally();
  }

  async type(bytes: Uint8Array): Promise<void> {
    await this.#line?.type(bytes);
  }

  async #run(machine: Booted, probe: boolean, greeting: boolean): Promise<void> {
    this.#booted = machine;
    void machine.ended.then((end) => this.#ended(end));
    if (machine.console) {
      this.#line = new SerialLine(machine.console, probe, (bytes, lost) =>
        this.#push({ push: 'console', bytes, lost }),
      );
    }
    this.#cpu = machine.cpu ?? (probe ? await this.#line?.cpu(greeting) : undefined);
    if (this.#cpu === undefined) return;
    this.#ahead = this.#look();
    this.#ahead.catch(() => {}); // told to the page, which asks for it
  }

  async #watch(settings: Settings, before?: bigint): Promise<Layer> {
    this.#settings = settings;
    this.#faultyCpu = undefined;
    const extras: LayerExtras = {
      before,
      onEvent: (event) => {
        if (event.kind === 'acknowledged')
          this.#push({ push: 'acknowledged', milliseconds: event.milliseconds });
      },
    };
    const { layerOf } =
      settings.faulty === '' ? { layerOf: rightLayer } : await import('../model/faulty-layer.ts');
    const layer = layerOf(settings, extras);
    const first: Layer = (host) => {
      const cpu = layer(host);
      this.#faultyCpu ??= cpu;
      return cpu;
    };
    this.#recorder = new Recorder(first, settings.rng ? settings.rngMsr : undefined, () => this.#flush());
    this.#timer = setInterval(() => this.#flush(), FLUSH_MS);
    return this.#recorder.layer;
  }

  #flush(): void {
    const taken = this.#recorder?.take();
    if (taken?.values) this.#push({ push: 'values', values: taken.values });
    if (taken?.events) this.#push({ push: 'events', events: taken.events });
    this.#line?.flush();
  }

  #ended({ reason, detail }: End): void {
    clearInterval(this.#timer);
    this.#flush();
    this.#push({ push: 'ended', reason, detail });
  }

  #running(): Booted {
    if (this.#booted === undefined) throw new Error('there is no machine yet');
    return this.#booted;
  }

  #guest(): Cpu {
    if (this.#cpu === undefined)
      throw new Error('this guest cannot be asked: only the probe answers questions');
    return this.#cpu;
  }

  async #known(): Promise<Discovery | undefined> {
    this.#found ??= await detect(this.#guest());
    return this.#found.commonhv;
  }

  async #generation(): Promise<bigint | undefined> {
    const msr = this.#cpu && (await this.#known())?.generation?.msr;
    const value = msr === undefined ? undefined : await this.#guest().rdmsr(msr);
    return typeof value === 'bigint' ? value : undefined;
  }

  /** Another machine under the same layer, from a state of this one. */
  async #copy(state: Uint8Array): Promise<{ machine: Booted; cpu: Cpu }> {
    if (this.#engine === undefined || this.#recorder === undefined)
      throw new Error('there is no machine to copy');
    const machine = await this.#engine.resume(this.#recorder.layer, state);
    const line = machine.console && new SerialLine(machine.console, true, () => {});
    return { machine, cpu: machine.cpu ?? (await line!.cpu(false)) };
  }
}

function imageOf(image: BootImage | undefined): Image {
  if (image === undefined) return { kernel: probeImage() };
  const { kernel, initrd, commandLine } = image;
  return initrd === undefined ? { kernel, commandLine } : { kernel, initrd, commandLine };
}

/** Loads the code of the check: beside a guest that is never idle, a worker would wait for its file for minutes. */
async function beforeBusyGuest(): Promise<void> {
  await import('./check.ts');
}
