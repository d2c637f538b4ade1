/** Shell commands of the user's, each in a process group of its own. */
import { type ChildProcess, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { env, kill } from 'node:process';
import { setTimeout as sleep } from 'node:timers/promises';
import { MachineError } from '../cpu.ts';
import { type Io, plainLine } from './io.ts';

/** How long a command may take to end when it was asked to, in milliseconds. */
const SHUTDOWN_MS = 2000;

/** The variable by which a command's processes are found. */
const MARK = 'COMMONHV_COMMAND';

/** A command that runs. Its standard output is a pipe, to be read or dropped. */
export class Command {
  readonly child: ChildProcess;
  /** How it ended, in a few words, with the last line of its standard error. */
  readonly ended: Promise<string>;
  /** In the environment of all that the command starts, also of a daemon, which leaves the group. */
  readonly #mark = randomUUID();
  #said = '';

  constructor(command: string) {
    this.child = spawn('/bin/sh', ['-c', command], {
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...env, [MARK]: this.#mark },
    });
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

  /** Ends the group, and with `daemons` what left it: asked first, then without asking. */
  async stop(daemons = false): Promise<void> {
    const others = (): readonly number[] => (daemons ? marked(`${MARK}=${this.#mark}`) : []);
    this.#signal('SIGTERM');
    for (const pid of others()) signal(pid, 'SIGTERM');
    for (let waited = 0; waited < SHUTDOWN_MS; waited += 20) {
      if (!this.alive() && others().length === 0) break;
      await sleep(20);
    }
    this.#signal('SIGKILL');
    for (const pid of others()) signal(pid, 'SIGKILL');
    this.child.stdout!.destroy();
    this.child.stderr!.destroy();
  }

  #signal(name: 0 | 'SIGTERM' | 'SIGKILL'): boolean {
    return this.child.pid !== undefined && signal(-this.child.pid, name);
  }
}

/** Whether there was such a process, or group where it is negative. */
function signal(pid: number, name: 0 | 'SIGTERM' | 'SIGKILL'): boolean {
  try {
    return kill(pid, name);
  } catch {
    return false;
  }
}

/** The processes of this user that have a variable in their environment; none where there is no /proc. */
function marked(variable: string): readonly number[] {
  const has = (pid: string): boolean => {
    try {
      return readFileSync(`/proc/${pid}/environ`, 'latin1').split('\0').includes(variable);
    } catch {
      return false;
    }
  };
  try {
    return readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name) && has(name))
      .map(Number);
  } catch {
    return [];
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
