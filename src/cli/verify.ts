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
  type VerifyOptions,
  verify,
} from '../conformance/index.ts';
import { type Awaitable, type Cpu, MachineError } from '../cpu.ts';
import { checkControls, type ForeignOptions, openForeign } from './foreign.ts';
import { openImplementation } from './implementation.ts';
import { type Io, painter, UsageError } from './io.ts';
import { flag, type GuestOptions, type LayerOptions } from './options.ts';
import { unlessStopped } from './processor.ts';
import { listRules, seenInstead } from './verify-about.ts';

export interface VerifyCommandOptions extends LayerOptions, GuestOptions, ForeignOptions {
  readonly strict?: boolean | undefined;
  readonly probeMsrs?: boolean | undefined;
  /** Rules by their ids. */
  readonly only?: readonly string[] | undefined;
  readonly list?: boolean | undefined;
  /** The hypervisor's name in reports. */
  readonly name?: string | undefined;
  readonly format: 'text' | 'json' | 'ktap' | 'junit';
  /** The options that were given, by their names in this object; the others are defaults. */
  readonly given: readonly string[];
}

/** A machine to verify, its controls, and how to close both. */
interface Target extends MachineControls {
  readonly engine: string;
  readonly cpu: Cpu;
  stopped?(): string | undefined;
  /** Why a report would be about something else than the machine. */
  broke?(): string | undefined;
  /** The control that runs now, as its option. */
  running?(): string | undefined;
  close(): Promise<void>;
}

export async function runVerify(options: VerifyCommandOptions, io: Io): Promise<number> {
  if (options.name?.trim() === '') throw new UsageError('--name: expected a name');
  if (options.list === true) return listRules(options, io);
  const start = performance.now();
  const first = await attempt(options, io, start, true);
  if (typeof first === 'number') return first;
  io.err(`commonhv: the guest was lost at CPL 3, and is asked again at CPL 0 alone: ${first.lost}`);
  return (await attempt(options, io, start, false)) as number;
}

/** Verifies once; `lost`: why the guest did not come back from CPL 3, where it can be started again. */
async function attempt(
  options: VerifyCommandOptions,
  io: Io,
  start: number,
  atCpl3: boolean,
): Promise<number | Lost> {
  io.progress(`asking ${targetOf(options)} ...`);
  const target = await opened(options, io);
  const end = new AbortController();
  const timer = setTimeout(() => end.abort(), (options.timeout ?? 86_400) * 1000);
  const stop = (): void => void target.close().catch(() => {});
  end.signal.addEventListener('abort', stop);
  io.interrupted.addEventListener('abort', stop);
  try {
    const stopped = (): string | undefined => {
      if (io.interrupted.aborted) return 'interrupted';
      if (end.signal.aborted && target.running?.() !== undefined)
        return `${target.running()}: not done within ${options.timeout} s (--timeout)`;
      if (target.broke?.() !== undefined) return target.broke();
      return end.signal.aborted || target.stopped?.() !== undefined
        ? `the hypervisor was not verified within ${options.timeout} s (--timeout)`
        : undefined;
    };
    const { ring3, lost } = watched(atCpl3 ? target.ring3 : undefined);
    const verified = verify(target.cpu, controlsOf(target, ring3, options));
    // What runs already cannot be started again: its report shows what was lost.
    const again = options.exec !== undefined ? [lost] : [];
    const report = await unlessStopped({ stopped }, Promise.race([verified, ...again]));
    io.progress('');
    if ('lost' in report) return report;
    const about = {
      engine: options.name ?? target.engine,
      deterministic: deterministic(options),
      milliseconds: Math.round(performance.now() - start),
      ...(!report.present && { instead: await seenInstead(target.cpu, options) }),
    };
    await io.out(formatted(report, about, options.format, io));
    return report.later !== undefined ? 2 : conforms(report) ? 0 : 1;
  } finally {
    clearTimeout(timer);
    io.interrupted.removeEventListener('abort', stop);
    await target.close();
  }
}

function controlsOf(target: Target, ring3: readonly Cpu[], options: VerifyCommandOptions): VerifyOptions {
  const {
    resume,
    restore,
    save,
    migrate,
    another,
    pause,
    reset,
    others,
    acknowledgements,
    memory,
    renewOuter,
  } = target;
  return {
    ...(options.given.includes('draft') && { draft: options.draft }),
    ...(options.strict && { strict: true }),
    ...(options.probeMsrs && { probeMsrs: true }),
    ...(options.only && { only: options.only }),
    ...(resume && { resume }),
    ...(restore && { restore }),
    ...(save && { save }),
    ...(migrate && { migrate }),
    ...(another && { another }),
    ...(acknowledgements && { acknowledgements }),
    ...(renewOuter && { renewOuter }),
    ...(pause && { pause }),
    ...(reset && { reset }),
    ...(others && { others }),
    ...(memory && { memory }),
    ...(ring3.length > 0 && { ring3 }),
  };
}

interface Lost {
  readonly lost: string;
}

/**
 * Processors at CPL 3, and the first error among them. A KVM that emulates its guest's code at CPL 0 cannot emulate IRET, and
 * ends the guest there (seen on a KVM that runs in a virtual machine itself): that says nothing about CommonHV.
 */
function watched(cpus: Cpu | readonly Cpu[] = []): {
  readonly ring3: readonly Cpu[];
  readonly lost: Promise<Lost>;
} {
  let lose: (lost: Lost) => void = () => {};
  const lost = new Promise<Lost>((resolve) => {
    lose = resolve;
  });
  const watch = async <T>(answer: () => Awaitable<T>): Promise<T> => {
    try {
      return await answer();
    } catch (error) {
      if (error instanceof MachineError) lose({ lost: error.message });
      throw error;
    }
  };
  const ring3 = [cpus].flat().map((cpu: Cpu) => ({
    cpuid: (leaf: number, subleaf: number) => watch(() => cpu.cpuid(leaf, subleaf)),
    rdmsr: (index: number) => watch(() => cpu.rdmsr(index)),
    wrmsr: (index: number, value: bigint) => watch(() => cpu.wrmsr(index, value)),
  }));
  return { ring3, lost };
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

/** Options for any hypervisor, and those for one that is reached over a line. */
const GENERAL = [
  'exec',
  'serial',
  'engine',
  'draft',
  'strict',
  'format',
  'timeout',
  'probeMsrs',
  'only',
  'list',
  'name',
];
const CONTROLS = ['save', 'restore', 'resume', 'migrate'];

/** Which of the three ways it is; options of another are refused. */
function targetOf(options: VerifyCommandOptions): string {
  const { exec, serial, engine, given } = options;
  const ways = given.includes('engine')
    ? ['exec', 'serial', 'engine'].filter((name) => given.includes(name))
    : [];
  if (ways.length > 1)
    throw new UsageError(`${ways.map((way) => `--${way}`).join(' and ')}: expected one of them`);
  const way = exec !== undefined ? '--exec' : serial !== undefined ? '--serial' : `--engine ${engine}`;
  const ours = way.startsWith('--engine') && engine !== 'native';
  const general = way.startsWith('--engine') ? GENERAL : [...GENERAL, ...CONTROLS];
  const foreign = given.find((name) => !general.includes(name));
  if (foreign !== undefined && CONTROLS.includes(foreign))
    throw new UsageError(`--${foreign} has no effect with ${way}: it goes with --exec or --serial`);
  if (!ours && foreign !== undefined)
    throw new UsageError(`${flag(foreign)} has no effect with ${way}: it configures a built-in hypervisor`);
  const idle = ['memory', 'timeout', 'vcpus', 'hyperv'].find((name) => given.includes(name));
  if (engine === 'model' && ours && idle !== undefined)
    throw new UsageError(`${flag(idle)} has no effect with --engine model`);
  checkControls(options);
  return way;
}

/** With the processors at CPL 3 where a machine comes back from there. */
async function withRing3(options: VerifyCommandOptions, io: Io): Promise<Target> {
  const { ring3, ...implementation } = await openImplementation(options, io);
  try {
    return { ...implementation, ...(ring3 && { ring3: await ring3() }) };
  } catch (error) {
    const why = implementation.stopped?.();
    if (why === undefined && error instanceof MachineError) {
      io.err(`commonhv: a guest was lost at CPL 3, and nothing is asked there: ${error.message}`);
      return implementation;
    }
    await implementation.close();
    throw why === undefined ? error : new MachineError(why, { cause: error });
  }
}

async function opened(options: VerifyCommandOptions, io: Io): Promise<Target> {
  const { exec, serial } = options;
  if (exec !== undefined || serial !== undefined)
    return { engine: nameOf(exec, serial), ...(await openForeign(options, io)) };
  if (options.engine !== 'native') return withRing3(options, io);
  const { native } = await import('../engines/native/index.ts');
  const cpu = native();
  return { engine: 'native', cpu, close: async () => cpu.close() };
}

/** The command's first word, without its folder and what is set before it, or the first address. */
function nameOf(exec: string | undefined, serial: readonly string[] | undefined): string {
  if (exec === undefined) return serial![0]!;
  const words = exec.split(/\s+/).filter((one) => /^[\w./+-]*[a-z][\w./+-]*$/i.test(one));
  const word = words.find((one) => one !== 'exec');
  return word?.split('/').at(-1) || 'exec';
}

/** Predictable values are shown in every report. */
function deterministic({ exec, serial, engine, rng, rngSource }: VerifyCommandOptions): string | undefined {
  const ours = exec === undefined && serial === undefined && engine !== 'native';
  return ours && rng && rngSource !== 'os' ? rngSource : undefined;
}
