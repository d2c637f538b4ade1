/** The wait for the probe's greeting, with a countdown, and a hint where nothing comes. */
import { MachineError } from '../cpu.ts';
import { overSerial, type SerialCpu, type Waiting } from '../probe/index.ts';
import { otherTalk, silentCommand, silentLine } from './hints.ts';
import type { Io } from './io.ts';
import { commandLine, type SerialLine, serialLine } from './line.ts';

/** Firmware and boot loaders run before the probe greets, in milliseconds. */
export const GREETING_MS = 30_000;
/** A kernel greets within a second; a hint after this long, in milliseconds, comes early enough to be of use. */
const HINT_MS = 4_000;
/** A firmware that talks may still find the image. */
const OTHER_TALK_MS = 8_000;

/** How the probe is reached: one of the two. */
export interface Way {
  readonly exec?: string | undefined;
  readonly serial?: string | undefined;
  /** The guest was resumed, and waits for a line; the option by which, for messages. */
  readonly resumed?: string | undefined;
}

/** Starts the command, or opens the line. */
export const openLine = ({ exec, serial }: Way): Promise<SerialLine> =>
  exec === undefined ? serialLine(serial!) : commandLine(exec);

/** The guest's processor, as soon as it greets. Throws a `MachineError` that says who has gone, or how long it was waited for. */
export async function greet(
  line: SerialLine,
  { exec, serial, resumed }: Way,
  greetingTimeout: number,
  io: Io,
): Promise<SerialCpu> {
  const hinted = new Set<string>();
  const hint = (kind: 'silence' | 'talk', text: string): void => {
    if (!hinted.has(kind)) io.err(`commonhv: ${text}`);
    hinted.add(kind);
  };
  const onWaiting = ({ milliseconds, bytes, tail }: Waiting): void => {
    if (bytes === 0 && milliseconds >= HINT_MS) {
      hint('silence', `nothing heard yet. ${exec === undefined ? silentLine(serial!) : silentCommand(exec)}`);
    } else if (bytes > 0 && milliseconds >= OTHER_TALK_MS) {
      hint(
        'talk',
        `no greeting yet, but ${bytes} bytes, the last of them ${JSON.stringify(tail)}: ${otherTalk}`,
      );
    }
    const left = Math.max(0, Math.round((greetingTimeout - milliseconds) / 1000));
    const heard = bytes === 0 ? 'nothing heard' : `${bytes} bytes heard`;
    io.progress(`waiting for the probe guest: ${heard}, ${left} s left`);
  };
  try {
    // A guest that runs already has greeted somebody else, and is asked for it soon.
    const pokeIntervalMs = resumed !== undefined ? 50 : exec === undefined ? 250 : 1_000;
    const cpu = await overSerial(line.console, { greetingTimeout, pokeIntervalMs, onWaiting });
    io.progress('');
    return cpu;
  } catch (cause) {
    io.progress('');
    const gone = await line.gone();
    if (gone === undefined)
      throw resumed === undefined
        ? cause
        : new MachineError(`${resumed}: ${(cause as Error).message}`, { cause });
    const who =
      resumed !== undefined
        ? `${resumed}: the command`
        : exec === undefined
          ? '--serial: the other end'
          : '--exec: the command';
    throw new MachineError(`${who} ${gone}, before the probe guest greeted`, { cause });
  }
}
