/** Shell commands of the user's, each in a process group of its own. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { kill } from 'node:process';
import { setTimeout as sleep } from 'node:timers/promises';
import { MachineError } from '../cpu.ts';
import { type Io, plainLine } from './io.ts';

/** How long a command may take to end when it was asked to, in milliseconds. */
const SHUTDOWN_MS = 2000;

/** A command that runs. Its standard output is a pipe, to be read or dropped. */
export class Command {
  readonly child: ChildProcess;
  /** How it ended, in a few words, with the last line of its standard error. */
  readonly ended: Promise<string>;
  #said = '';

  constructor(command: string) {
    this.child = spawn('/bin/sh', ['-c', command], { detached: true, stdio: ['ignore', 'pipe', 'pipe'] });
    this.child.stderr!.on('data', (bytes: Buffer) => {
      this.#said = (this.#said + bytes.toString('latin1')).slice(-400);
    });
    this.ended = new Promise((resolve) => {
      this.child.on('error', (error) => resolve(`could not be started: ${error.message}`));
      this.child.on('exit', (status, signal) => {
        const last = plainLine(this.#said.trim().split('\n').at(-1) ?? '');
        resolve(`ended ${signal === null ? `with status ${status}` : `by ${signal}`}${last && `: ${last}`}`);
      });
    });
  }

  /** Whether a process of the group is still there. */
  alive(): boolean {
    return this.#signal(0);
  }

  /** Ends the group: asked first, then without asking. */
  async stop(): Promise<void> {
    this.#signal('SIGTERM');
    for (let waited = 0; waited < SHUTDOWN_MS && this.alive(); waited += 20) await sleep(20);
    this.#signal('SIGKILL');
    this.child.stdout!.destroy();
    this.child.stderr!.destroy();
  }

  #signal(signal: 0 | 'SIGTERM' | 'SIGKILL'): boolean {
    try {
      return this.child.pid !== undefined && kill(-this.child.pid, signal);
    } catch {
      return false;
    }
  }
}

/**
 * Runs a command to its end. Throws a MachineError that begins with `flag` where it fails, takes longer than `seconds`, leaves
 * processes running, which are ended, or, with `quiet`, prints on its standard output.
 */
export async function runToEnd(
  flag: string,
  text: string,
  seconds: number,
  io: Io,
  quiet = false,
): Promise<void> {
  const command = new Command(text);
  let printed = '';
  command.child.stdout!.on('data', (bytes: Buffer) => {
    printed = (printed + bytes.toString('latin1')).slice(0, 200);
  });
  const gone = once(io.interrupted, 'abort').then(() => 'interrupted');
  try {
    const how = await Promise.race([command.ended, sleep(seconds * 1000, 'late', { ref: false }), gone]);
    if (how === 'interrupted') throw new MachineError('interrupted');
    if (how === 'late')
      throw new MachineError(`${flag}: the command did not end within ${seconds} s (--timeout): ${text}`);
    if (command.child.exitCode !== 0) throw new MachineError(`${flag}: the command ${how}`);
    await sleep(50); // a child that is just ending is none that was left
    if (command.alive())
      throw new MachineError(`${flag}: the command left processes running; they were ended: ${text}`);
    if (quiet && printed !== '')
      throw new MachineError(
        `${flag}: the command printed ${JSON.stringify(plainLine(printed.split('\n')[0]!))} on its standard output, which is the report's; append >&2 or >/dev/null`,
      );
  } finally {
    await command.stop();
  }
}
