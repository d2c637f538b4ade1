/** Machines in files: `run --save`, `run --resume` and `--copies`, on every engine that has saved states. */
import { writeFile } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import { type Engine, type Machine, MachineError } from '../cpu.ts';
import { writeCompleteFile } from '../engines/kvm/complete-file.ts';
import { type Config, fromConfig } from '../hypervisor/index.ts';
import { layerModule, reporter } from './engines.ts';
import { attach, endText, type Outcome } from './guest.ts';
import { type Io, UsageError, unread } from './io.ts';

/** Saves a machine to a file, complete or not at all; false where it ended before. */
export async function saveMachine(machine: Machine, path: string): Promise<boolean> {
  try {
    await machine.pause?.(); // it is ended afterwards: its guest does not outrun the state
    if (machine.saveFile !== undefined) await machine.saveFile(path);
    else if (machine.save !== undefined) await write(path, await machine.save());
    else throw new UsageError('--save: this engine has no saved states');
    return true;
  } catch (error) {
    if (error instanceof MachineError && error.code === 'ended') return false;
    throw error;
  }
}

async function write(path: string, state: Uint8Array): Promise<void> {
  try {
    await writeCompleteFile(path, async (fd) => {
      await promisify(writeFile)(fd, state);
    });
  } catch (cause) {
    throw new UsageError(`--save ${path}: ${(cause as NodeJS.ErrnoException).code}`, { cause });
  }
}

/** A machine from a file, under a layer of its own. */
export async function resumeMachine(engine: Engine, config: Config, path: string, io: Io): Promise<Machine> {
  if (engine.resumeFile !== undefined) return engine.resumeFile(layerModule(config, io), path);
  if (engine.resume === undefined) throw new UsageError('--resume: this engine has no saved states');
  let state: Uint8Array;
  try {
    state = new Uint8Array(await readFile(path));
  } catch (cause) {
    throw new UsageError(`--resume ${path}: ${unread(cause as NodeJS.ErrnoException)}`, { cause });
  }
  return engine.resume(fromConfig(config, reporter(io)), state);
}

export interface CopiesOptions {
  readonly copies: number;
  readonly timeout: number | undefined;
}

/** Runs several machines from one file. Each line of their output begins with the copy's number; they get no input. */
export async function runCopies(
  resume: () => Promise<Machine>,
  { copies, timeout }: CopiesOptions,
  io: Io,
): Promise<number> {
  const machines: Machine[] = [];
  try {
    for (let i = 0; i < copies; i++) machines.push(await resume());
    const outcomes = await Promise.all(machines.map((machine, i) => runCopy(machine, i + 1, timeout, io)));
    return outcomes.every((outcome) => outcome === 'quit' || outcome === 'halt') ? 0 : 2;
  } finally {
    await Promise.all(machines.map((machine) => machine.close()));
  }
}

async function runCopy(
  machine: Machine,
  number: number,
  timeout: number | undefined,
  io: Io,
): Promise<Outcome> {
  const output = linesWith(`[${number}] `, (line) => io.out(line));
  const silent: Io = { ...io, interactive: false, input: async function* () {} };
  const { outcome, end } = await attach(machine, silent, { timeout, output });
  await output(new Uint8Array(), true);
  io.err(`commonhv: copy ${number}: ${endText(outcome, end, timeout)}`);
  return outcome;
}

/** Passes text on by lines, each with a prefix; the rest when it is the last. */
function linesWith(prefix: string, write: (text: string) => Promise<void>) {
  const decoder = new TextDecoder();
  let rest = '';
  return async (bytes: Uint8Array, last = false): Promise<void> => {
    rest += decoder.decode(bytes, { stream: !last });
    const lines = rest.split('\n');
    rest = lines.pop()!;
    if (last && rest !== '') lines.push(rest);
    for (const line of lines) await write(`${prefix}${line.replace(/\r$/, '')}\n`);
  };
}
