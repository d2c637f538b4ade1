/** `commonhv run`: boots a guest under CommonHV; without an image the probe guest, with a report of its view. */
import { verify } from '../conformance/index.ts';
import type { Cpu } from '../cpu.ts';
import type { Detection } from '../guest/index.ts';
import { detectionJson, detectionText } from './detection.ts';
import { openEngine, readImage, startGuest } from './engines.ts';
import { findingOf } from './finding.ts';
import { attach, endText } from './guest.ts';
import { openImplementation } from './implementation.ts';
import { type Io, painter, UsageError } from './io.ts';
import { deterministicSource, resolveConfig, warnDeterministic } from './layer.ts';
import type { GuestOptions, LayerOptions } from './options.ts';
import { unlessStopped } from './processor.ts';

export interface RunOptions extends LayerOptions, GuestOptions {
  readonly image: string | undefined;
  readonly format: 'text' | 'json';
}

export async function runGuest(options: RunOptions, io: Io): Promise<number> {
  return options.image === undefined ? runProbe(options, io) : runImage(options.image, options, io);
}

/** Seconds without a word from the guest, after which a hint helps. */
const HINT_AFTER = 10;
const NO_CONSOLE = "; nothing yet on its serial line: a Linux kernel needs --append 'console=ttyS0'";

/** How many values the probe reads: enough to see a source that is stuck or counts. */
const VALUES = 8;

async function runProbe(options: RunOptions, io: Io): Promise<number> {
  for (const name of ['initrd', 'append'] as const) {
    if (options[name] !== undefined) throw new UsageError(`--${name} goes with an image`);
  }
  const start = performance.now();
  io.progress('starting the probe guest ...');
  const implementation = await openImplementation(options, io);
  try {
    const { cpu, engine, close: _, ...controls } = implementation;
    const finding = await unlessStopped(implementation, findingOf(cpu));
    const discovery = finding.detection;
    const rng = await unlessStopped(implementation, readValues(cpu, discovery));
    io.progress('verifying its hypervisor ...');
    const { passed, failed, warned, skipped } = await unlessStopped(implementation, verify(cpu, controls));
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

async function runImage(path: string, options: RunOptions, io: Io): Promise<number> {
  if (options.format !== 'text')
    throw new UsageError('--format json goes with no image: the output is what the guest prints');
  const engine = await openEngine(options);
  const image = await readImage(path, options, io);
  const data = await resolveConfig(options, await engine.hostCpu());
  const booting = `booting ${path} on ${engine.name} ...${io.interactive ? ' Ctrl-] ends it' : ''}`;
  io.progress(booting);
  warnDeterministic(options, io);
  const start = performance.now();
  const machine = await startGuest(engine, data, image, io);
  let silent = true;
  const waiting = setInterval(() => {
    const seconds = Math.round((performance.now() - start) / 1000);
    const hint = seconds < HINT_AFTER || image.commandLine?.includes('console=') ? '' : NO_CONSOLE;
    io.progress(`${booting} ${seconds} s${hint}`);
  }, 1000);
  const { outcome, end } = await attach(machine, io, {
    timeout: options.timeout,
    output(bytes) {
      silent = false;
      clearInterval(waiting);
      io.progress('');
      return io.out(bytes);
    },
  }).finally(() => clearInterval(waiting));
  const why = outcome === 'halt' && silent ? `the guest said nothing and ${end.detail ?? 'halted'}` : '';
  const after = outcome === 'timeout' ? '' : `, after ${((performance.now() - start) / 1000).toFixed(1)} s`;
  const more = io.interactive ? `; commonhv trace ${path} shows its CPUIDs and MSRs` : '';
  io.err(`commonhv: ${why || endText(outcome, end, options.timeout)}${after}${more}`);
  if (outcome === 'timeout' || outcome === 'failed' || outcome === 'interrupted') return 2;
  if (outcome === 'halt' && silent) return 2;
  return outcome === 'shutdown' ? 1 : 0;
}
