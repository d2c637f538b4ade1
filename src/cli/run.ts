/** `commonhv run`: boots a guest under CommonHV; without an image the probe guest, with a report of its view. */
import { verify } from '../conformance/index.ts';
import type { Cpu, Image } from '../cpu.ts';
import type { Detection } from '../guest/index.ts';
import { GREETING, probeImage } from '../probe/index.ts';
import { detectionJson, detectionText } from './detection.ts';
import { openEngine, readImage, startGuest, startNamed } from './engines.ts';
import { findingOf } from './finding.ts';
import { attach, endText } from './guest.ts';
import { openImplementation } from './implementation.ts';
import { type Io, painter, UsageError } from './io.ts';
import { configFrom, deterministicSource, warnDeterministic } from './layer.ts';
import type { GuestOptions, LayerOptions } from './options.ts';
import { unlessStopped } from './processor.ts';
import { resumeMachine, runCopies, saveMachine } from './states.ts';

export interface RunOptions extends LayerOptions, GuestOptions {
  readonly image: string | undefined;
  readonly format: 'text' | 'json';
  /** Where to save the guest when it is stopped, and its output at which it is. */
  readonly save?: string | undefined;
  readonly saveAt?: string | undefined;
  /** A saved guest, and how many copies of it. */
  readonly resume?: string | undefined;
  readonly copies?: number | undefined;
}

export async function runGuest(options: RunOptions, io: Io): Promise<number> {
  const states = [options.save, options.saveAt, options.resume, options.copies];
  const report = options.image === undefined && states.every((option) => option === undefined);
  return report ? runProbe(options, io) : runImage(options, io);
}

/** Seconds without a word from the guest, after which a hint helps. */
const HINT_AFTER = 10;
const NO_CONSOLE = "; nothing yet on its serial line: a Linux kernel needs --append 'console=ttyS0'";

/** How many values the probe reads: enough to see a source that is stuck or counts. */
const VALUES = 8;

async function runProbe(options: RunOptions, io: Io): Promise<number> {
  for (const name of ['initrd', 'append', 'vmgenid'] as const) {
    if (options[name] !== undefined) throw new UsageError(`--${name} goes with an image`);
  }
  const start = performance.now();
  io.progress('starting the probe guest ...');
  const implementation = await openImplementation(options, io);
  try {
    const { cpu, engine, others, memory, restore, acknowledgements } = implementation;
    const finding = await unlessStopped(implementation, findingOf(cpu));
    const discovery = finding.detection;
    const rng = await unlessStopped(implementation, readValues(cpu, discovery));
    io.progress('verifying its hypervisor ...');
    const verified = await unlessStopped(
      implementation,
      // Restores in place, of one state: more machines, more states and CPL 3, which cost time, are left to `verify`.
      verify(cpu, {
        ...(others && { others }),
        ...(memory && { memory }),
        ...(restore && { restore }),
        ...(acknowledgements && { acknowledgements }),
      }),
    );
    const { passed, failed, warned, skipped } = verified;
    const counts = { passed, failed, warned, skipped };
    const milliseconds = Math.round(performance.now() - start);
    const predictable = deterministicSource(options);
    io.progress('');
    if (options.format === 'json') {
      const report = {
        engine,
        draft: options.draft,
        milliseconds,
        ...(predictable && { deterministic: predictable }),
        discovery: detectionJson(finding),
        rng: rng ?? null,
        verify: counts,
      };
      await io.out(`${JSON.stringify(report, undefined, 2)}\n`);
    } else {
      const paint = painter(io);
      const head = paint('bold', `a probe guest on ${engine} under CommonHV draft ${options.draft}`);
      const result = `${passed} passed, ${failed} failed, ${warned} warned, ${skipped} skipped`;
      const more: [string, string][] = [];
      if (rng !== undefined) {
        const how = predictable === undefined ? '' : `, deterministic (--rng-source ${predictable})`;
        more.push(['random values', `${rng.values} read, ${rng.distinct} different${how}`]);
      }
      more.push(['conformance', failed === 0 ? paint('green', result) : paint('red', result)]);
      const broken = verified.rules.filter(({ outcome }) => outcome === 'failed').map(({ id }) => id);
      if (broken.length > 0)
        more.push(['broken rules', `${broken.join(', ')}; commonhv verify with these options shows them`]);
      await io.out(`${head}, ${milliseconds} ms\n\n${detectionText(finding, paint, more)}\n`);
    }
    const sound = rng === undefined || rng.distinct === rng.values;
    return discovery.commonhv !== undefined && sound && failed === 0 ? 0 : 1;
  } finally {
    await implementation.close();
  }
}

async function readValues(
  cpu: Cpu,
  { commonhv }: Detection,
): Promise<{ values: number; distinct: number } | undefined> {
  if (commonhv?.rng === undefined) return undefined;
  const values: bigint[] = [];
  for (let i = 0; i < VALUES; i++) {
    const value = await cpu.rdmsr(commonhv.rng.msr);
    if (typeof value === 'bigint') values.push(value);
  }
  return { values: values.length, distinct: new Set(values).size };
}

async function runImage(options: RunOptions, io: Io): Promise<number> {
  checkStates(options);
  const { image: path, resume, save } = options;
  if (options.format !== 'text')
    throw new UsageError('--format json goes with no image: the output is what the guest prints');
  const engine = await openEngine(options);
  const config = await configFrom(options, await engine.hostCpu());
  const title = path ?? resume ?? PROBE;
  const verb = resume === undefined ? 'booting' : 'resuming';
  const booting = `${verb} ${title} on ${engine.name} ...${io.interactive ? ' Ctrl-] ends it' : ''}`;
  io.progress(booting);
  warnDeterministic(options, io);
  const start = performance.now();
  if (resume !== undefined && options.copies !== undefined) {
    const { copies, timeout } = options;
    return runCopies(() => resumeMachine(engine, config, resume, io), { copies, timeout }, io);
  }
  const image = resume === undefined ? await imageOf(path, options, io) : undefined;
  const machine =
    image === undefined
      ? await resumeMachine(engine, config, resume!, io)
      : await startNamed(path, startGuest(engine, config, image, io));
  let silent = true;
  let saved = false;
  const waiting = setInterval(() => {
    const seconds = Math.round((performance.now() - start) / 1000);
    const quiet = seconds < HINT_AFTER || image === undefined || image.commandLine?.includes('console=');
    io.progress(`${booting} ${seconds} s${quiet ? '' : NO_CONSOLE}`);
  }, 1000);
  const { outcome, end } = await attach(machine, io, {
    timeout: options.timeout,
    output(bytes) {
      silent = false;
      clearInterval(waiting);
      io.progress('');
      return io.out(bytes);
    },
    until: options.saveAt ?? (title === PROBE ? `${GREETING}, 32-bit` : undefined),
    async onStop(running) {
      if (save !== undefined) saved = await saveMachine(running, save);
    },
  }).finally(() => clearInterval(waiting));
  if (save !== undefined) {
    const text = saved
      ? `${title === PROBE ? PROBE : 'the guest'} was saved to ${save}`
      : `${endText(outcome, end, options.timeout)}; it was not saved`;
    io.err(`commonhv: ${text}`);
    return saved ? 0 : 2;
  }
  const why = outcome === 'halt' && silent ? `the guest said nothing and ${end.detail ?? 'halted'}` : '';
  const after = outcome === 'timeout' ? '' : `, after ${((performance.now() - start) / 1000).toFixed(1)} s`;
  const more =
    io.interactive && path !== undefined ? `; commonhv trace ${path} shows its CPUIDs and MSRs` : '';
  io.err(`commonhv: ${why || endText(outcome, end, options.timeout)}${after}${more}`);
  if (outcome === 'timeout' || outcome === 'failed' || outcome === 'interrupted') return 2;
  if (outcome === 'halt' && silent) return 2;
  return outcome === 'shutdown' ? 1 : 0;
}

const PROBE = 'the probe';

const imageOf = async (path: string | undefined, options: RunOptions, io: Io): Promise<Image> =>
  path === undefined ? { kernel: probeImage() } : readImage(path, options, io);

function checkStates({ image, resume, save, saveAt, copies, ...options }: RunOptions): void {
  if (resume !== undefined) {
    for (const name of ['initrd', 'append', 'memory', 'vcpus', 'vmgenid'] as const) {
      if (options[name] !== undefined)
        throw new UsageError(`--${name} goes with an image; --resume has its own`);
    }
    if (image !== undefined) throw new UsageError('--resume goes without an image');
  }
  if (saveAt !== undefined && save === undefined) throw new UsageError('--save-at goes with --save');
  if (copies !== undefined && resume === undefined) throw new UsageError('--copies goes with --resume');
  if (copies !== undefined && save !== undefined) throw new UsageError('--save contradicts --copies');
}
