/** `commonhv verify`: the conformance suite, against a built-in hypervisor, or any that runs the probe guest. */
import {
  type About,
  conforms,
  jsonReport,
  junitReport,
  ktapReport,
  type MachineControls,
  type Report,
  textReport,
  verify,
} from '../conformance/index.ts';
import { type Cpu, MachineError } from '../cpu.ts';
import { overSerial } from '../probe/index.ts';
import { openImplementation } from './implementation.ts';
import { type Io, painter, UsageError } from './io.ts';
import { commandLine, type SerialLine, serialLine } from './line.ts';
import type { GuestOptions, LayerOptions } from './options.ts';
import { unlessStopped } from './processor.ts';

export interface VerifyCommandOptions extends LayerOptions, GuestOptions {
  readonly exec?: string;
  readonly serial?: string;
  readonly strict?: boolean;
  readonly format: 'text' | 'json' | 'ktap' | 'junit';
  /** The options that were given, by their names in this object; the others are defaults. */
  readonly given: readonly string[];
}

/** A processor to verify, its machine controls, and how to close both. */
interface Judged extends MachineControls {
  readonly engine: string;
  readonly cpu: Cpu;
  stopped?(): string | undefined;
  close(): Promise<void>;
}

/** Firmware and boot loaders come before the greeting: its limit in milliseconds, unless --timeout gives another. */
const GREETING_TIME = 30_000;

export async function runVerify(options: VerifyCommandOptions, io: Io): Promise<number> {
  const start = performance.now();
  const target = targetOf(options);
  io.progress(`asking ${target} ...`);
  const judged = await opened(options, io);
  const end = new AbortController();
  const timer = setTimeout(() => end.abort(), (options.timeout ?? 86_400) * 1000);
  const stop = (): void => void judged.close().catch(() => {});
  end.signal.addEventListener('abort', stop);
  io.interrupted.addEventListener('abort', stop);
  try {
    const { cpu, resume, restore, another, pause, others, acknowledgements } = judged;
    const stopped = (): string | undefined => {
      if (io.interrupted.aborted) return 'interrupted';
      return end.signal.aborted || judged.stopped?.() !== undefined
        ? `the hypervisor was not verified within ${options.timeout} s (--timeout)`
        : undefined;
    };
    const judging = verify(cpu, {
      ...(options.given.includes('draft') && { draft: options.draft }),
      ...(options.strict && { strict: true }),
      ...(resume && { resume }),
      ...(restore && { restore }),
      ...(another && { another }),
      ...(acknowledgements && { acknowledgements }),
      ...(pause && { pause }),
      ...(others && { others }),
    });
    const report = await unlessStopped({ stopped }, judging);
    io.progress('');
    const about = {
      engine: judged.engine,
      deterministic: deterministic(options),
      milliseconds: Math.round(performance.now() - start),
    };
    await io.out(formatted(report, about, options.format, io));
    return report.later !== undefined ? 2 : conforms(report) ? 0 : 1;
  } finally {
    clearTimeout(timer);
    io.interrupted.removeEventListener('abort', stop);
    await judged.close();
  }
}

function formatted(report: Report, about: About, format: VerifyCommandOptions['format'], io: Io): string {
  switch (format) {
    case 'json':
      return `${JSON.stringify(jsonReport(report, about), undefined, 2)}\n`;
    case 'ktap':
      return ktapReport(report, about);
    case 'junit':
      return junitReport(report, about);
    case 'text':
      return textReport(report, about, painter(io));
  }
}

/** Which of the three ways it is; options of another are refused. */
function targetOf({ exec, serial, engine, given }: VerifyCommandOptions): string {
  const ways = ['exec', 'serial', 'engine'].filter((name) => given.includes(name));
  if (ways.length > 1)
    throw new UsageError(`${ways.map((way) => `--${way}`).join(' and ')}: expected one of them`);
  const way = exec !== undefined ? '--exec' : serial !== undefined ? '--serial' : `--engine ${engine}`;
  const ours = way.startsWith('--engine') && engine !== 'native';
  const general = ['exec', 'serial', 'engine', 'draft', 'strict', 'format', 'timeout'];
  const foreign = given.find((name) => !general.includes(name));
  if (!ours && foreign !== undefined)
    throw new UsageError(`${flag(foreign)} has no effect with ${way}: it configures a built-in hypervisor`);
  const idle = ['memory', 'timeout', 'vcpus', 'hyperv'].find((name) => given.includes(name));
  if (engine === 'model' && ours && idle !== undefined)
    throw new UsageError(`${flag(idle)} has no effect with --engine model`);
  return way;
}

/** As it was typed: those that are on by default can only have been switched off. */
function flag(name: string): string {
  const text = name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
  return ['rng', 'generation', 'hypervisorBit'].includes(name) ? `--no-${text}` : `--${text}`;
}

async function opened(options: VerifyCommandOptions, io: Io): Promise<Judged> {
  if (options.exec !== undefined) return overLine('exec', await commandLine(options.exec), options, io);
  if (options.serial !== undefined) return overLine('serial', await serialLine(options.serial), options, io);
  if (options.engine !== 'native') return openImplementation(options, io);
  const { native } = await import('../engines/native/index.ts');
  const cpu = native();
  return { engine: 'native', cpu, close: async () => cpu.close() };
}

async function overLine(
  engine: 'exec' | 'serial',
  line: SerialLine,
  { timeout = GREETING_TIME / 1000 }: VerifyCommandOptions,
  io: Io,
): Promise<Judged> {
  const interrupt = (): void => void line.close();
  io.interrupted.addEventListener('abort', interrupt);
  try {
    const greetingTimeout = timeout * 1000;
    // A guest that runs already has greeted somebody else, and is asked for it soon.
    const cpu = await overSerial(line.console, {
      greetingTimeout,
      pokeIntervalMs: engine === 'serial' ? 250 : 1000,
    });
    return {
      engine,
      cpu,
      // A command that verify started ends with its guest; a guest that ran before goes on.
      close: line.close,
    };
  } catch (cause) {
    const gone = await line.gone();
    await line.close();
    if (io.interrupted.aborted) throw new MachineError('interrupted', { cause });
    const who = engine === 'exec' ? '--exec: the command' : '--serial: the other end';
    if (gone === undefined) throw cause;
    throw new MachineError(`${who} ${gone}, before the probe guest greeted`, { cause });
  } finally {
    io.interrupted.removeEventListener('abort', interrupt);
  }
}

/** Predictable values are shown in every report. */
function deterministic({ exec, serial, engine, rng, rngSource }: VerifyCommandOptions): string | undefined {
  const ours = exec === undefined && serial === undefined && engine !== 'native';
  return ours && rng && rngSource !== 'os' ? rngSource : undefined;
}
