/** One machine's worker: starts or resumes a guest, asks it, and reports to the page. */
import type { Cpu, End, Image, Layer } from 'commonhv';
import type { FaultyCpu } from 'commonhv/conformance';
import { dump } from 'commonhv/cpuid-dump';
import { type Discovery, detect, scan } from 'commonhv/guest';
import { probeImage } from 'commonhv/probe';
import type { Draft } from 'commonhv/spec';
import { checked } from '../conformance/check.ts';
import { readRows } from '../leaves/row.ts';
import { type Draws, drawWords } from '../random/generator.ts';
import { layerOf } from '../settings/layer.ts';
import type { Settings } from '../settings/settings.ts';
import { type Bootable, type Booted, engineOf } from './engine.ts';
import { openLine, type ProbeLine } from './line.ts';
import type { Calls, Chosen, Push, Saved } from './protocol.ts';
import { type Tap, tap } from './recorder.ts';

/** How often the page is told, in milliseconds: about twice a frame of the eye, not of the screen. */
const TELL = 40;

export function room(push: (message: Push) => void): Calls {
  let booted: Booted | undefined;
  let line: ProbeLine | undefined;
  let cpu: Cpu | undefined;
  let discovery: Discovery | undefined;
  let draws: Draws | undefined;
  let watched: Tap | undefined;
  let lying: FaultyCpu | undefined;
  let timer: ReturnType<typeof setInterval> | undefined;
  let engine: Bootable | undefined;
  let draft: Draft | undefined;

  const tell = () => {
    const taken = watched?.take();
    if (taken?.words) push({ push: 'words', words: taken.words });
    if (taken?.events) push({ push: 'events', events: taken.events });
    line?.flush();
  };
  const ended = ({ reason, detail }: End) => {
    clearInterval(timer);
    tell();
    push({ push: 'ended', reason, detail });
  };
  const watch = (settings: Settings, before?: bigint): Layer => {
    lying = undefined;
    draft = settings.draft;
    const layer = layerOf(settings, before);
    const kept: Layer = (host) => {
      const cpu = layer(host);
      lying ??= cpu;
      return cpu;
    };
    watched = tap(kept, settings.rng ? settings.rngMsr : undefined, tell);
    timer = setInterval(tell, TELL);
    return watched.layer;
  };
  const guest = (): Cpu => {
    if (cpu === undefined) throw new Error('this guest cannot be asked: only the probe answers questions');
    return cpu;
  };
  const known = async (): Promise<Discovery | undefined> => {
    discovery ??= (await detect(guest())).commonhv;
    return discovery;
  };
  const run = async (machine: Booted, probe: boolean, greeting: boolean): Promise<void> => {
    booted = machine;
    void machine.ended.then(ended);
    if (machine.console)
      line = openLine(machine.console, probe, (bytes, lost) => push({ push: 'console', bytes, lost }));
    cpu = machine.cpu ?? (probe && line ? await line.cpu(greeting) : undefined);
  };

  let paused = false;
  const pause = async () => {
    await booted?.pause();
    paused = true;
    // Some faulty hypervisors are wrong about a pause, of which no layer is told.
    lying?.paused?.();
  };
  const unpause = async () => {
    await booted?.unpause();
    paused = false;
  };
  const generation = async (): Promise<bigint | undefined> => {
    const msr = cpu && (await known())?.generation?.msr;
    const value = msr === undefined ? undefined : await guest().rdmsr(msr);
    return typeof value === 'bigint' ? value : undefined;
  };
  /** Another machine under the same layer, from a state of this one. */
  const revive = async (state: Uint8Array) => {
    if (engine === undefined || watched === undefined) throw new Error('there is no machine to copy');
    const machine = await engine.resume(watched.layer, state);
    const copied = machine.console && openLine(machine.console, true, () => {});
    return { machine, cpu: machine.cpu ?? (await copied!.cpu(false)) };
  };

  return {
    async start(settings, chosen) {
      engine = await engineOf(settings);
      await run(await engine.start(watch(settings), imageOf(chosen)), chosen === undefined, true);
    },
    async resume(settings, saved) {
      draws = saved.draws;
      engine = await engineOf(settings);
      await run(await engine.resume(watch(settings, saved.generation), saved.state), saved.probe, false);
    },
    pause,
    unpause,
    stop: async () => void (await booted?.close()),
    async save(): Promise<Saved> {
      if (booted === undefined) throw new Error('there is no machine to save');
      // A guest looks at its generation whenever it draws, so it has seen the one that it is saved with.
      const halted = paused;
      if (halted) await unpause();
      if (cpu && draws) draws = (await drawWords(cpu, await known(), draws, 0)).draws;
      const said = await generation();
      const state = await booted.save();
      if (halted) await pause();
      return { state, draws, generation: said, probe: cpu !== undefined };
    },
    async look() {
      const detection = await detect(guest());
      discovery = detection.commonhv;
      return { detection, rows: await readRows(guest(), discovery) };
    },
    lookAll: () => dump(guest()),
    async search() {
      return (await scan(guest())).length;
    },
    async read(words) {
      const rng = (await known())?.rng;
      if (rng === undefined) throw new Error('no RNG is offered: there is nothing to read');
      for (let i = 0; i < words; i++) {
        const word = await guest().rdmsr(rng.msr);
        if (typeof word !== 'bigint') throw new Error(`reading the RNG raised ${word}`);
      }
    },
    async draw(words) {
      const drawn = await drawWords(guest(), await known(), draws, words);
      draws = drawn.draws;
      return drawn.words;
    },
    async verify() {
      if (booted === undefined || draft === undefined) throw new Error('there is no machine to verify');
      return checked(guest(), draft, { ...booted, pause }, revive);
    },
    async tally() {
      if (watched === undefined) throw new Error('there is no machine to count for');
      return watched.tally();
    },
    async type(bytes) {
      await line?.type(bytes);
    },
  };
}

function imageOf(chosen: Chosen | undefined): Image {
  if (chosen === undefined) return { kernel: probeImage() };
  const { kernel, initrd, commandLine } = chosen;
  return initrd === undefined ? { kernel, commandLine } : { kernel, initrd, commandLine };
}
