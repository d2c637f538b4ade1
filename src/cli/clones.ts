/** `commonhv clones`: whether copies of one saved machine differ, and after how long. */
import { constants } from 'node:fs';
import { open, writeFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  type Comparison,
  compare,
  htmlReport,
  jsonReport,
  junitReport,
  type Recording,
  SampleReader,
  textReport,
} from '../clones/index.ts';
import type { Machine } from '../cpu.ts';
import { MachineError } from '../cpu.ts';
import { fromConfig } from '../hypervisor/index.ts';
import { recordCommands } from './clones-commands.ts';
import { recordFor, Waiting } from './clones-waiting.ts';
import { writeCompanions } from './companions.ts';
import { openEngine, readImage, startGuest } from './engines.ts';
import { type Io, painter, UsageError, unread, unwritten } from './io.ts';
import { configFrom } from './layer.ts';
import { plural } from './names.ts';
import { flag, type GuestOptions, type LayerOptions } from './options.ts';
import { type Architecture, sampler, samplerDisk } from './sampler.ts';

export interface ClonesOptions extends LayerOptions, GuestOptions {
  readonly image: string | undefined;
  readonly from?: readonly string[] | undefined;
  readonly save?: string | undefined;
  readonly resume?: string | undefined;
  readonly console?: string | undefined;
  readonly copies: number;
  readonly seconds: number;
  readonly allowWindow?: ReadonlyMap<string, number> | undefined;
  readonly sampler?: string | undefined;
  readonly companions?: string | undefined;
  readonly arch: Architecture;
  readonly format: 'text' | 'json' | 'junit' | 'html';
  /** The options that were given, by their names in this object; the others are defaults. */
  readonly given: readonly string[];
}

/** Samples before the machine is saved: generators are then in use, as they are in any machine. */
const BEFORE = 10;
/** Seconds for a boot, and for a command of the user's. */
const TIMEOUT = 120;

/** Exit status: 0 the copies differ; 1 they are alike; 2 it could not be found out. */
export async function runClones(options: ClonesOptions, io: Io): Promise<number> {
  checkWay(options);
  if (options.sampler !== undefined) {
    await writeSampler(options, io);
    return 0;
  }
  if (options.companions !== undefined) {
    await io.out(writeCompanions(options.companions, options.arch, io));
    return 0;
  }
  const recordings = await record(options, io);
  io.progress('');
  const result = compare(recordings, { allowed: options.allowWindow });
  const names = result.sources.map(({ name }) => name);
  const unknown = [...(options.allowWindow?.keys() ?? [])].find(
    (name) => name !== '*' && !names.includes(name),
  );
  if (unknown !== undefined)
    throw new UsageError(`--allow-window ${unknown}: no source has this name; there are ${names.join(', ')}`);
  await io.out(report(result, options, io));
  if (result.differ === false && options.image !== undefined && recordings.every(unacknowledged))
    io.err(
      'commonhv: no copy acknowledged a new generation; a guest with the agent (docs/agent.md) or the driver (docs/driver.md) does',
    );
  return result.differ === undefined ? 2 : result.differ ? 0 : 1;
}

const unacknowledged = ({ acknowledged }: Recording): boolean => acknowledged === undefined;

/** Throws a UsageError where an option is about another way to get copies than the chosen one. */
function checkWay({ image, given }: ClonesOptions): void {
  const commands = ['save', 'resume', 'console'];
  const compared = ['allowWindow', 'format'];
  const recorded = [...compared, 'copies', 'seconds', 'timeout'];
  const ways: readonly (readonly [name: string, idle: (name: string) => boolean])[] = [
    ['sampler', (name) => name !== 'arch'],
    ['companions', (name) => name !== 'arch'],
    ['from', (name) => !compared.includes(name)],
    ['resume', (name) => ![...commands, ...recorded].includes(name)],
  ];
  const words = image === undefined ? given : [...given, 'image'];
  const [way, idle] = ways.find(([name]) => given.includes(name)) ?? [
    'image',
    (name: string) => [...commands, 'arch'].includes(name),
  ];
  const typed = (name: string): string => (name === 'image' ? 'an image' : flag(name));
  const foreign = words.find((name) => name !== way && idle(name));
  if (foreign !== undefined && words.includes(way))
    throw new UsageError(`${typed(foreign)} has no effect with ${typed(way)}`);
}

function report(result: Comparison, { format }: ClonesOptions, io: Io): string {
  if (format === 'json') return jsonReport(result);
  if (format === 'junit') return junitReport(result);
  if (format === 'html') return htmlReport(result);
  return textReport(result, painter(io));
}

async function writeSampler({ sampler: path, arch }: ClonesOptions, io: Io): Promise<void> {
  const program = path!.endsWith('.cpio') ? samplerDisk(sampler(arch, io)) : sampler(arch, io);
  if (path === '-') await io.out(program);
  else {
    await writeFile(path!, program, { mode: 0o755 }).catch((cause: Error) => {
      throw new UsageError(`--sampler ${path}: ${unwritten(cause)}`, { cause });
    });
  }
}

/** By one of three ways; which one, the options say. */
function record(options: ClonesOptions, io: Io): Promise<readonly Recording[]> {
  const { from, resume, save, image, console, copies, seconds, timeout = TIMEOUT } = options;
  const ways = [from !== undefined, resume !== undefined || save !== undefined, image !== undefined];
  if (ways.filter(Boolean).length !== 1)
    throw new UsageError(
      'clones takes one of: --from FILE FILE ..., --save CMD --resume CMD, or an image to boot',
    );
  if (from !== undefined) return recordFiles(from, io);
  if (image !== undefined) return recordEngine(image, options, io);
  if (resume === undefined) throw new UsageError('--save goes with --resume CMD, which resumes one copy');
  return recordCommands({ save, resume, console, copies, seconds, timeout }, io);
}

async function recordFiles(paths: readonly string[], io: Io): Promise<readonly Recording[]> {
  if (paths.length < 2)
    throw new UsageError('--from: expected the consoles of two copies or more, a file each');
  const recordings: Recording[] = [];
  for (const path of paths) {
    const reader = new SampleReader(path);
    try {
      await readConsole(path, reader, io);
    } catch (cause) {
      if (cause instanceof UsageError || cause instanceof MachineError) throw cause;
      throw new UsageError(`--from ${path}: ${unread(cause as NodeJS.ErrnoException)}`, { cause });
    }
    if (reader.count === 0)
      throw new UsageError(
        `--from ${path}: no line of commonhv-sampler in it (commonhv clones --sampler FILE hands it out)`,
      );
    recordings.push(reader.recording());
  }
  return recordings;
}

/** Reads a file to its end; a pipe or a device, which may have none, for `TIMEOUT` seconds. */
async function readConsole(path: string, reader: SampleReader, io: Io): Promise<void> {
  // Without O_NONBLOCK a pipe that nobody writes to would block a thread of Node's for good.
  const handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  const buffer = Buffer.alloc(65_536);
  try {
    const endless = !(await handle.stat()).isFile();
    const late = Date.now() + TIMEOUT * 1000;
    for (let begun = !endless; ; ) {
      const count = await handle.read(buffer).then(({ bytesRead }) => bytesRead, waitsForData);
      if (count > 0) reader.feed(buffer.subarray(0, count));
      else if (count === 0 && begun) return;
      else await sleep(20);
      begun ||= count > 0;
      if (io.interrupted.aborted) throw new MachineError('interrupted');
      if (endless && Date.now() > late)
        throw new UsageError(`--from ${path}: no file, and it has not ended after ${TIMEOUT} s`);
    }
  } finally {
    await handle.close();
  }
}

/** -1 where the writer of a pipe has nothing at present. */
function waitsForData(error: NodeJS.ErrnoException): number {
  if (error.code === 'EAGAIN') return -1;
  throw error;
}

/** Boots the image, saves it when the sampler prints, and records each copy. */
async function recordEngine(path: string, options: ClonesOptions, io: Io): Promise<readonly Recording[]> {
  const engine = await openEngine(options);
  if (engine.resume === undefined)
    throw new UsageError(`--engine ${engine.name} does not save and resume; v86 does`);
  const config = await configFrom(options, await engine.hostCpu());
  const image = await withSampler(path, options, io);
  io.progress(`booting ${path} on ${engine.name} ...`);
  const first = await startGuest(engine, config, image, io);
  const hint =
    options.initrd === undefined
      ? 'the sampler starts when the kernel has booted, and prints to ttyS0'
      : undefined;
  const state = await saveWhenReady(first, options.timeout ?? TIMEOUT, hint, io);
  const recordings: Recording[] = [];
  for (let copy = 1; copy <= options.copies; copy++) {
    io.progress(`recording copy ${copy} of ${options.copies} ...`);
    const reader = new SampleReader(`copy ${copy}`);
    const layer = fromConfig(config, ({ kind }) => kind === 'acknowledged' && reader.acknowledge());
    const machine = await engine.resume(layer, state);
    await recordMachine(machine, reader, () => recordFor(options.seconds, io));
    recordings.push(reader.recording());
  }
  return recordings;
}

/** The image as given; without an initrd, the sampler is the machine's only program. */
async function withSampler(path: string, options: ClonesOptions, io: Io) {
  const image = await readImage(path, options, io);
  if (image.initrd !== undefined) return image;
  const program = sampler(options.engine === 'kvm' ? 'amd64' : 'i386', io);
  return { ...image, commandLine: image.commandLine ?? 'console=ttyS0 quiet', initrd: samplerDisk(program) };
}

async function saveWhenReady(
  machine: Machine,
  seconds: number,
  hint: string | undefined,
  io: Io,
): Promise<Uint8Array> {
  const reader = new SampleReader('the first machine');
  const waiting = new Waiting(reader, seconds, io, hint);
  let state: Uint8Array | undefined;
  await recordMachine(machine, waiting, async () => {
    for (const late = Date.now() + seconds * 1000; reader.count < BEFORE; await sleep(20)) {
      if (io.interrupted.aborted) throw new MachineError('interrupted');
      waiting.show();
      if (Date.now() > late)
        throw new MachineError(
          `the guest printed ${plural(reader.count, 'sample')} within ${seconds} s: ${hint ?? 'does it run commonhv-sampler on its console?'}`,
        );
    }
    state = await machine.save!();
  });
  return state!;
}

/** Reads a machine's console into a reader while `wait` lasts, then closes the machine. */
async function recordMachine(
  machine: Machine,
  reader: Pick<SampleReader, 'feed'>,
  wait: () => Promise<unknown>,
): Promise<void> {
  const pump = (async () => {
    for await (const bytes of machine.console.readable) reader.feed(bytes);
  })().catch(() => {});
  try {
    const ended = machine.ended.then(({ reason, detail }) => {
      if (reason !== 'closed') throw new MachineError(`the guest ended: ${detail ?? reason}`);
    });
    await Promise.race([wait(), ended]);
  } finally {
    await machine.close();
    await pump;
  }
}
