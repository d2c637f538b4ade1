/** `commonhv clones` with the user's own commands: one that saves a machine, one that resumes a copy of it. */
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Recording, SampleReader } from '../clones/index.ts';
import { MachineError } from '../cpu.ts';
import { recordFor, Waiting } from './clones-waiting.ts';
import { Command, runToEnd } from './command.ts';
import { type Io, UsageError } from './io.ts';
import { serialLine } from './line.ts';
import { temporaryFolder } from './temporary.ts';

export interface CommandOptions {
  readonly save: string | undefined;
  readonly resume: string;
  /** Where a copy's console is, other than the command's standard output; `{copy}` is the copy's number. */
  readonly console: string | undefined;
  readonly copies: number;
  /** Seconds to record after a copy's first sample. */
  readonly seconds: number;
  /** Seconds that a command may take to end, and a copy to print its first sample. */
  readonly timeout: number;
}

/** Saves once, resumes and records each copy in turn. Throws a MachineError that names the command which failed. */
export async function recordCommands(options: CommandOptions, io: Io): Promise<readonly Recording[]> {
  const folder = await temporaryFolder('commonhv-clones-');
  const state = join(folder, 'state');
  try {
    if (options.save !== undefined) {
      io.progress('saving the machine ...');
      await runToEnd('--save', options.save.replaceAll('{state}', state), options.timeout, io);
    }
    const recordings: Recording[] = [];
    for (let copy = 1; copy <= options.copies; copy++) {
      io.progress(`recording copy ${copy} of ${options.copies} ...`);
      recordings.push(await recordCopy(copy, state, options, io));
    }
    return recordings;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function recordCopy(
  copy: number,
  state: string,
  { resume, console, seconds, timeout }: CommandOptions,
  io: Io,
): Promise<Recording> {
  const place = (text: string): string =>
    text.replaceAll('{state}', state).replaceAll('{copy}', String(copy));
  const command = new Command(place(resume));
  const reader = new SampleReader(`copy ${copy}`);
  // A command may hand the copy to a daemon and end: the copy is where its console is.
  const gone =
    console === undefined
      ? command.ended
      : command.ended.then((how) => (command.child.exitCode === 0 ? new Promise<never>(() => {}) : how));
  try {
    const source =
      console === undefined ? undefined : await openConsole(place(console), timeout, gone, copy, io);
    const bytes = source?.console.readable ?? command.child.stdout!;
    if (source !== undefined) command.child.stdout!.resume();
    const waiting = new Waiting(reader, timeout, io);
    const pump = pumpInto(waiting, bytes);
    const why = await until(reader, waiting, [gone, pump], timeout, io);
    if (reader.count === 0)
      throw new MachineError(
        `--resume, copy ${copy}: ${why ?? `no sample within ${timeout} s: does commonhv-sampler run in the guest?`}`,
      );
    await Promise.race([pump, gone, recordFor(seconds, io)]);
    await source?.close();
    return reader.recording();
  } finally {
    await command.stop(true);
  }
}

/** Opens a copy's console, which may come later; throws where the command fails before it does. */
async function openConsole(address: string, seconds: number, gone: Promise<string>, copy: number, io: Io) {
  let failed: string | undefined;
  void gone.then((how) => {
    failed = how;
  });
  for (const late = Date.now() + seconds * 1000; ; await sleep(50)) {
    try {
      return await serialLine(address);
    } catch (error) {
      const text = (error as Error).message.replace(/^--serial/, '--console');
      if (error instanceof UsageError) throw new UsageError(text);
      if (Date.now() > late) throw new MachineError(text);
    }
    if (failed !== undefined) throw new MachineError(`--resume, copy ${copy}: the command ${failed}`);
    if (io.interrupted.aborted) throw new MachineError('interrupted');
  }
}

/** Resolves at the first sample, or with the reason why none can come. */
async function until(
  reader: SampleReader,
  waiting: Waiting,
  ends: readonly Promise<string | undefined>[],
  seconds: number,
  io: Io,
): Promise<string | undefined> {
  let over: string | undefined | false = false;
  for (const end of ends) {
    void end.then((how) => {
      over = how === undefined ? 'its console ended' : `the command ${how}`;
    });
  }
  for (const late = Date.now() + seconds * 1000; reader.count === 0 && Date.now() < late; await sleep(10)) {
    if (io.interrupted.aborted) throw new MachineError('interrupted');
    waiting.show();
    if (over === false) continue;
    await sleep(100); // the last output may still be on its way
    return over;
  }
  return undefined;
}

async function pumpInto(
  reader: Pick<SampleReader, 'feed'>,
  bytes: AsyncIterable<Uint8Array>,
): Promise<undefined> {
  try {
    for await (const piece of bytes) reader.feed(piece);
  } catch {
    // A console that breaks has ended: the samples so far count.
  }
  return undefined;
}
