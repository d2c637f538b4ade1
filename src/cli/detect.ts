/** `commonhv detect`: the interfaces of the hypervisor, of a living processor or of CPUID dumps. */
import { type Cpu, MachineError } from '../cpu.ts';
import { regsEqual } from '../cpuid-dump/walk.ts';
import { type Mode, modeText } from '../probe/wire.ts';
import { LEAF_BASIC, LEAF_ROOT, SCAN_FIRST, SCAN_STEP } from '../spec/index.ts';
import { detectionJson, detectionText } from './detection.ts';
import { detectionNfd, detectionPrometheus } from './exporters.ts';
import { type Answer, type Finding, findingOf, verdict } from './finding.ts';
import type { Io } from './io.ts';
import { painter, UsageError } from './io.ts';
import type { Processor, ProcessorOptions } from './processor.ts';
import { openNative, openProcessor, unlessStopped } from './processor.ts';

export interface DetectOptions extends ProcessorOptions {
  readonly format: 'text' | 'json' | 'nfd' | 'prometheus';
  /** Signatures, products, and questions about CommonHV whose answer has to be yes. */
  readonly require?: readonly string[] | undefined;
  /** Print nothing: the exit status answers. */
  readonly quiet?: boolean | undefined;
  /** Decode the feature leaves of each interface. */
  readonly features?: boolean | undefined;
  /** Two dumps to compare, or one and this machine. */
  readonly diff?: readonly string[] | undefined;
}

/** A machine, and the finding about it. */
interface Named {
  readonly name: string;
  readonly finding: Finding;
  /** The mode that a probe guest asked in. */
  readonly mode?: Mode;
  /** The instruction's answers at CPL 3, where they are others than the kernel's; a text: why there are none. */
  readonly instruction?: Finding | string;
  /** With --features. */
  readonly features?: { readonly text: string; readonly json: readonly object[] };
}

/** 0; 1 where the answer to a requirement is no; 2 where a dump does not tell. */
export async function runDetect(options: DetectOptions, io: Io): Promise<number> {
  if (options.diff !== undefined) {
    if (options.from !== undefined || options.require !== undefined || options.features) {
      throw new UsageError('--diff: expected without --from, --require and --features');
    }
    return (await import('./diff.ts')).runDiff(options.diff, options, io);
  }
  if (options.features && (options.format === 'nfd' || options.format === 'prometheus')) {
    throw new UsageError(`--features with --format ${options.format}: expected text or json`);
  }
  const found =
    options.from === undefined
      ? [await ofProcessor(await openProcessor(options, io), io, options.features)]
      : await ofFiles(options.from, options.features, io);
  if (options.require !== undefined) await refuseUnknown(options.require, found);
  if (!options.quiet) await io.out(written(found, options.format, io));
  return options.require === undefined
    ? quietStatus(options, found)
    : checkRequired(options.require, found, options.quiet === true, io);
}

/** With --quiet alone the question is whether there is a hypervisor; a printed answer needs no status. */
function quietStatus({ quiet }: DetectOptions, found: readonly Named[]): number {
  if (!quiet) return 0;
  const answers = found.map(({ finding }) => isVirtual(finding));
  return answers.includes('no') ? 1 : answers.includes('not recorded') ? 2 : 0;
}

function isVirtual({ hypervisorBit, interfaces, commonhv, detection, complete }: Finding): Answer {
  if (hypervisorBit === 'yes' || interfaces.length > 0 || detection.commonhv !== undefined) return 'yes';
  return hypervisorBit === 'no' && complete && commonhv === 'no' ? 'no' : 'not recorded';
}

/** The machine that we run on, without options: bin.ts calls it without the parser. */
export async function detectHere(format: DetectOptions['format'], io: Io): Promise<number> {
  await io.out(written([await ofProcessor(openNative(), io)], format, io));
  return 0;
}

async function ofProcessor(processor: Processor, io: Pick<Io, 'width'>, features = false): Promise<Named> {
  const named = async (): Promise<Named> => {
    const { mode } = processor;
    const other = processor.other?.();
    // A guest that breaks at CPL 3 has answered before.
    const answered = mode && (await findingOf(processor.cpu));
    const instruction = other && (await otherView(processor.cpu, other));
    // The instruction takes microseconds and the driver 30 times as long: where both agree the first answers.
    const quick = other !== undefined && instruction === undefined && mode === undefined;
    const cpu = quick ? other : processor.cpu;
    const finding = answered ?? (await findingOf(cpu));
    const decode = features && (await import('./features.ts')).printedFeatures;
    return {
      name: 'this machine',
      finding,
      ...(mode && { mode }),
      ...(instruction && { instruction }),
      ...(decode && { features: await decode(io, cpu, finding) }),
    };
  };
  try {
    return await unlessStopped(processor, named());
  } finally {
    await processor.close();
  }
}

/** What a process sees: nothing where it agrees with the kernel; a text where it cannot be asked. */
async function otherView(kernel: Cpu, user: Cpu): Promise<Finding | string | undefined> {
  try {
    return (await viewsAgree(kernel, user)) ? undefined : await findingOf(user);
  } catch (error) {
    if (error instanceof MachineError) return error.message;
    throw error;
  }
}

/** The leaves that tell one hypervisor from another. */
const TELLING = [LEAF_BASIC, SCAN_FIRST, SCAN_FIRST + SCAN_STEP, LEAF_ROOT];

/** A hypervisor can show CPL 3 other leaves than the kernel (seen: bhyve by the instruction, KVM by the driver). */
export async function viewsAgree(driver: Cpu, instruction: Cpu): Promise<boolean> {
  for (const leaf of TELLING) {
    const [mine, theirs] = [await driver.cpuid(leaf, 0), await instruction.cpuid(leaf, 0)];
    const bitsDiffer = (mine.ecx ^ theirs.ecx) >>> 31 !== 0;
    if (leaf === LEAF_BASIC ? bitsDiffer : !regsEqual(mine, theirs)) return false;
  }
  return true;
}

async function ofFiles(
  files: readonly string[],
  features: boolean | undefined,
  io: Io,
): Promise<readonly Named[]> {
  const { readMachines } = await import('./read-dump.ts');
  const { findingOfMachine, leavesOf, replayed } = await import('./recorded.ts');
  const found: Named[] = [];
  for (const machine of await readMachines(files, io)) {
    const { cpu, finding } = await findingOfMachine(machine, io);
    const decode = features && (await import('./features.ts')).printedFeatures;
    found.push({
      name: machine.name,
      finding,
      ...(decode && { features: await decode(io, replayed(cpu), finding, leavesOf(cpu)) }),
    });
  }
  return found;
}

/** Throws a UsageError for a name that is none, before anything is printed. */
async function refuseUnknown(names: readonly string[], found: readonly Named[]): Promise<void> {
  const { required } = await import('./require.ts');
  for (const { finding } of found) for (const name of names) required(name, finding);
}

/** Each requirement has to hold for every machine. */
async function checkRequired(
  names: readonly string[],
  found: readonly Named[],
  quiet: boolean,
  io: Io,
): Promise<number> {
  const { required, listed, isQuestion } = await import('./require.ts');
  let status = 0;
  for (const { name, finding } of found) {
    const where = found.length > 1 ? `${name}: ` : '';
    const answers = names.map((text) => [text, required(text, finding)] as const);
    const missing = answers.filter(([, answer]) => answer === 'no').map(([text]) => text);
    const open = answers.filter(([, answer]) => answer === 'not recorded').map(([text]) => text);
    if (missing.length > 0 && !quiet)
      io.err(`commonhv: ${where}--require: not there: ${missing.join(', ')}; there: ${listed(finding)}`);
    if (open.length > 0 && !quiet)
      io.err(
        `commonhv: ${where}--require: cannot tell: ${open.join(', ')}: ${reason(finding, open.some(isQuestion))}; there: ${listed(finding)}`,
      );
    // A no is certain, whatever else cannot be told.
    if (missing.length > 0) status = 1;
    else if (open.length > 0 && status === 0) status = 2;
  }
  return status;
}

function reason({ missing, complete }: Finding, asksCommonhv: boolean): string {
  if (complete && !asksCommonhv) return 'several products show the same signature';
  const why = missing.get('interfaces') ?? missing.get('commonhv');
  return why ?? 'not all was recorded';
}

const instructionText = (seen: Finding | string): string =>
  typeof seen === 'string' ? seen : `the instruction shows another: ${verdict(seen)}`;

function written(found: readonly Named[], format: DetectOptions['format'], io: Io): string {
  const [first] = found;
  const several = found.length > 1;
  const paint = painter(io);
  switch (format) {
    case 'text':
      return found
        .map(({ name, finding, mode, instruction, features }) => {
          const title = several ? `${name}\n` : '';
          const other = [
            ...(mode === undefined ? [] : [['asked at', modeText(mode)] as const]),
            ...(instruction === undefined ? [] : [['at CPL 3', instructionText(instruction)] as const]),
          ];
          const list = features === undefined ? '' : `\n${features.text}\n`;
          return `${title}${paint('bold', verdict(finding))}\n\n${detectionText(finding, paint, other)}\n${list}`;
        })
        .join('\n');
    case 'json': {
      const machines = found.map(({ name, finding, mode, instruction, features }) => ({
        ...(several && { name }),
        ...detectionJson(finding),
        ...(mode && { asked: mode }),
        ...(instruction && {
          instruction: typeof instruction === 'string' ? { error: instruction } : detectionJson(instruction),
        }),
        ...(features && { features: features.json }),
      }));
      return `${JSON.stringify(several ? { machines } : machines[0], undefined, 2)}\n`;
    }
    case 'nfd':
    case 'prometheus': {
      if (several)
        io.err(
          `commonhv: --format ${format} describes one machine; ${found.length} are there, and the first is taken: ${first!.name}`,
        );
      return (format === 'nfd' ? detectionNfd : detectionPrometheus)(first!.finding);
    }
  }
}
