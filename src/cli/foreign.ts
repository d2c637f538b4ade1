/**
 * Another hypervisor's machine: the probe guest over the standard streams of a command or over serial lines, one a CPU, and the
 * machine controls that the user's commands make. `{state}` is a free path for the saved machine, `{copy}` a copy's number.
 */
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { MachineControls, MachineUnderTest } from '../conformance/index.ts';
import { type Cpu, MachineError } from '../cpu.ts';
import type { SerialCpu } from '../probe/index.ts';
import { Command, runToEnd } from './command.ts';
import { GREETING_MS, greet, openLine } from './greeting.ts';
import { type Io, UsageError } from './io.ts';
import { openLater, type SerialLine, streamLine } from './line.ts';
import { temporaryFolder } from './temporary.ts';

export interface ForeignOptions {
  /** Starts the machine: the first CPU's line is its standard streams. */
  readonly exec?: string | undefined;
  /** Lines of further CPUs; without `exec` of all. */
  readonly serial?: readonly string[] | undefined;
  readonly save?: string | undefined;
  readonly restore?: string | undefined;
  readonly resume?: string | undefined;
  readonly migrate?: string | undefined;
  /** Seconds that a command, and the guest's greeting, may take. */
  readonly timeout?: number | undefined;
}

export interface Foreign extends MachineControls {
  readonly cpu: Cpu;
  /** Which command failed and how: then a report would be about the command. */
  broke(): string | undefined;
  /** The option whose command runs now. */
  running(): string | undefined;
  close(): Promise<void>;
}

/** A command that saves or restores a machine, in seconds. */
const COMMAND_SECONDS = 60;
const CONTROLS = ['save', 'restore', 'resume', 'migrate'] as const;

/** Throws a UsageError for commands that do not go together. */
export function checkControls(options: ForeignOptions): void {
  const { save, restore, resume } = options;
  const none = CONTROLS.find((name) => options[name]?.trim() === '');
  if (none !== undefined) throw new UsageError(`--${none}: expected a command`);
  if (save !== undefined && restore === undefined && resume === undefined)
    throw new UsageError('--save: expected --restore or --resume beside it, or nothing uses the state');
  const unsaved = CONTROLS.find((name) => options[name]?.includes('{state}'));
  if (save === undefined && unsaved !== undefined)
    throw new UsageError(`--${unsaved}: {state} is the file that --save writes, and there is no --save`);
}

/** The lines of one machine, and the CPUs at their other ends. */
class Lines {
  readonly #lines: SerialLine[] = [];
  readonly #cpus: SerialCpu[] = [];

  /** Waits for the greeting of every CPU. `resumed`: the option that resumed the machine. */
  async add(
    line: SerialLine,
    way: { exec?: string | undefined; serial?: string | undefined; resumed?: string },
    ms: number,
    io: Io,
  ): Promise<void> {
    this.#lines.push(line);
    this.#cpus.push(await greet(line, way, ms, io));
  }

  get machine(): MachineUnderTest {
    const [cpu, ...others] = this.#cpus;
    const ring3 = this.#cpus.flatMap((one) => one.ring3 ?? []);
    return { cpu: cpu!, others, ring3 };
  }

  /** Whether one of the lines has ended. */
  async gone(): Promise<boolean> {
    const ends = await Promise.all(this.#lines.map((line) => line.gone()));
    return ends.some((end) => end !== undefined);
  }

  async close(): Promise<void> {
    await Promise.all(this.#lines.splice(0).map((line) => line.close()));
    this.#cpus.length = 0;
  }
}

class ForeignMachine {
  readonly #options: ForeignOptions;
  readonly #io: Io;
  readonly #seconds: number;
  readonly #greetingMs: number;
  readonly #commands: Command[] = [];
  readonly #copies: Lines[] = [];
  #first = new Lines();
  #closing: Promise<unknown> = Promise.resolve();
  #folder: string | undefined;
  #state: string | undefined;
  #saves = 0;
  #resumed = 0;
  #broken: string | undefined;
  #running: string | undefined;

  constructor(options: ForeignOptions, io: Io) {
    this.#options = options;
    this.#io = io;
    this.#seconds = options.timeout ?? COMMAND_SECONDS;
    this.#greetingMs = options.timeout === undefined ? GREETING_MS : options.timeout * 1000;
  }

  get running(): string | undefined {
    return this.#running;
  }

  get broken(): string | undefined {
    return this.#broken;
  }

  get machine(): MachineUnderTest {
    return this.#first.machine;
  }

  async start(): Promise<void> {
    const { exec } = this.#options;
    if (exec !== undefined)
      await this.#first.add(await openLine({ exec }), { exec }, this.#greetingMs, this.#io);
    await this.#connect(this.#first, 0, undefined);
  }

  /** The serial lines of a machine; with --resume they may take a while to be there. */
  async #connect(lines: Lines, copy: number, resumed: string | undefined): Promise<void> {
    for (const address of this.#options.serial ?? []) {
      const serial = address.replaceAll('{copy}', String(copy));
      const line =
        resumed === undefined && copy === 0
          ? await openLine({ serial })
          : await openLater(serial, this.#greetingMs / 1000);
      await lines.add(
        line,
        { serial, ...(resumed !== undefined && { resumed }) },
        this.#greetingMs,
        this.#io,
      );
    }
  }

  #place(text: string): string {
    return text.replaceAll('{state}', this.#state ?? '').replaceAll('{copy}', String(this.#resumed));
  }

  /** A control: what its command does wrong ends the verification. */
  async #control<T>(flag: string, action: () => Promise<T>): Promise<T> {
    this.#running = flag;
    try {
      const result = await action();
      this.#running = undefined;
      return result;
    } catch (error) {
      const text = error instanceof Error ? error.message : String(error);
      this.#broken ??= text.startsWith('--') ? text : `${flag}: ${text}`;
      throw error;
    }
  }

  #toEnd(flag: string, text: string): Promise<void> {
    return runToEnd(flag, this.#place(text), this.#seconds, this.#io, true);
  }

  save(): Promise<void> {
    return this.#control('--save', async () => {
      this.#folder ??= await temporaryFolder('commonhv-state-');
      if (this.#state !== undefined) await rm(this.#state, { recursive: true, force: true });
      this.#state = join(this.#folder, `state-${++this.#saves}`);
      await this.#toEnd('--save', this.#options.save!);
    });
  }

  /** In place, or by the only copy's move; a line that ended with it is opened again. */
  changed(flag: '--restore' | '--migrate', text: string): Promise<MachineUnderTest | undefined> {
    return this.#control(flag, async () => {
      await this.#toEnd(flag, text);
      if (!(await this.#first.gone())) return undefined;
      if (this.#options.exec !== undefined)
        throw new MachineError(`${flag}: the machine of --exec ended with it; use --resume for a new one`);
      await this.#first.close();
      await this.#connect(this.#first, 0, flag);
      return this.#first.machine;
    });
  }

  resume(text: string): Promise<MachineUnderTest> {
    return this.#control('--resume', async () => {
      const { exec, serial = [] } = this.#options;
      this.#resumed++;
      // A line without a number is one that the machine before has to give up.
      if (serial.some((address) => !address.includes('{copy}'))) await this.#closeAll();
      const lines = new Lines();
      this.#copies.push(lines);
      const command = this.#place(text);
      const resumed = '--resume';
      if (exec !== undefined)
        await lines.add(streamLine(command), { exec: command, resumed }, this.#greetingMs, this.#io);
      else await this.#background(command);
      await this.#connect(lines, this.#resumed, resumed);
      return lines.machine;
    });
  }

  /** A command that runs the copy, or tells somebody else to and ends. */
  async #background(text: string): Promise<void> {
    const command = new Command(text);
    command.child.stdout!.resume();
    this.#commands.push(command);
    void command.ended.then((how) => {
      if (command.child.exitCode !== 0) this.#broken ??= `--resume: the command ${how}`;
    });
  }

  /** Waits for what an earlier call is still closing, too. */
  async #closeAll(): Promise<void> {
    const lines = [this.#first, ...this.#copies.splice(0)];
    const commands = this.#commands.splice(0);
    this.#first = new Lines();
    const close = async (): Promise<void> => {
      await Promise.all(lines.map((own) => own.close()));
      await Promise.all(commands.map((command) => command.stop()));
    };
    this.#closing = Promise.all([this.#closing, close()]);
    await this.#closing;
  }

  async close(): Promise<void> {
    const broken = this.#broken;
    await this.#closeAll();
    this.#broken = broken; // commands that were ended have not failed
    if (this.#folder !== undefined) await rm(this.#folder, { recursive: true, force: true });
  }
}

/** Opens the machine. Throws a `MachineError` where a line cannot be opened, or no probe greets in time. */
export async function openForeign(options: ForeignOptions, io: Io): Promise<Foreign> {
  const foreign = new ForeignMachine(options, io);
  const { save, restore, resume, migrate } = options;
  const interrupt = (): void => void foreign.close();
  io.interrupted.addEventListener('abort', interrupt);
  try {
    await foreign.start();
  } catch (cause) {
    await foreign.close();
    throw io.interrupted.aborted ? new MachineError('interrupted', { cause }) : cause;
  } finally {
    io.interrupted.removeEventListener('abort', interrupt);
  }
  return {
    ...foreign.machine,
    ...(save !== undefined && { save: () => foreign.save() }),
    ...(restore !== undefined && { restore: () => foreign.changed('--restore', restore) }),
    ...(migrate !== undefined && { migrate: () => foreign.changed('--migrate', migrate) }),
    ...(resume !== undefined && { resume: () => foreign.resume(resume) }),
    broke: () => foreign.broken,
    running: () => foreign.running,
    close: () => foreign.close(),
  };
}
