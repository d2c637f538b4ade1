/** The probe guest of somebody else's hypervisor: over the standard streams of a command, a socket, or a terminal. */
import { type ChildProcess, spawn } from 'node:child_process';
import { constants } from 'node:fs';
import { open, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { kill } from 'node:process';
import type { Readable, Writable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { isatty, ReadStream, WriteStream } from 'node:tty';
import { type Console, MachineError } from '../cpu.ts';
import { probeDisk } from '../probe/index.ts';
import { plainLine, UsageError } from './io.ts';
import { temporaryFolder } from './temporary.ts';

export interface SerialLine {
  readonly console: Console;
  /** Why there is nobody at the other end any more, in a few words; resolves to `undefined` while there may be. */
  gone(): Promise<string | undefined>;
  close(): Promise<void>;
}

/** The replacement for the image's placeholder in the command. */
const PLACE = '{probe}';
/** How long a command may take to end when it was asked to, in milliseconds. */
const SHUTDOWN_MS = 500;

/**
 * Starts a command by the shell, with `{probe}` replaced by the path of a disk image that is a multiboot kernel too. Its
 * standard input and output are the guest's serial line. `close` ends the command and whatever it has started.
 */
export async function commandLine(command: string): Promise<SerialLine> {
  if (!command.includes(PLACE))
    throw new UsageError(
      `--exec: expected ${PLACE} in the command, where the probe's image goes, such as 'qemu-system-x86_64 -nographic -kernel ${PLACE}'`,
    );
  const folder = await temporaryFolder('commonhv-probe-');
  const image = join(folder, 'probe.img');
  await writeFile(image, probeDisk());
  return streamLine(command.replaceAll(PLACE, image), () => rm(folder, { recursive: true, force: true }));
}

/** Starts a command whose standard input and output are a guest's serial line. `after` follows its end. */
export function streamLine(command: string, after: () => Promise<void> = async () => {}): SerialLine {
  // A process group of its own: a shell's children go when it goes.
  const child = spawn('/bin/sh', ['-c', command], {
    detached: true,
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  let said = '';
  child.stderr.on('data', (bytes: Buffer) => {
    said = (said + bytes.toString('latin1')).slice(-400);
  });
  const exited = new Promise<void>((resolve) => {
    child.on('error', () => resolve()).on('exit', () => resolve());
  });
  const ended = new Promise<string>((resolve) => {
    child.on('error', (error) => resolve(`could not be started: ${error.message}`));
    child.on('close', (status, signal) => {
      const last = plainLine(said.trim().split('\n').at(-1) ?? '');
      resolve(`ended ${signal === null ? `with status ${status}` : `by ${signal}`}${last && `: ${last}`}`);
    });
  });
  return {
    console: consoleOf(child.stdout, child.stdin),
    gone: () => Promise.race([ended, later(200)]),
    async close() {
      signalAll(child, 'SIGTERM');
      // Not until its output has ended too: nobody reads the rest of it.
      await Promise.race([exited, later(SHUTDOWN_MS)]);
      signalAll(child, 'SIGKILL'); // whoever of them did not listen
      await Promise.race([exited, later(SHUTDOWN_MS)]);
      for (const stream of [child.stdin, child.stdout, child.stderr]) stream.destroy();
      await after();
    },
  };
}

/** To the command and all that it has started. */
function signalAll({ pid }: ChildProcess, signal: 'SIGTERM' | 'SIGKILL'): void {
  try {
    if (pid !== undefined) kill(-pid, signal);
  } catch {
    // Nobody of that group is there any more.
  }
}

function later(milliseconds: number): Promise<undefined> {
  return new Promise((resolve) => setTimeout(() => resolve(undefined), milliseconds));
}

/** A serial line that is there already: `unix:PATH`, `tcp:HOST:PORT`, or the path of a terminal such as /dev/pts/3. */
export async function serialLine(address: string): Promise<SerialLine> {
  const unix = /^unix:(.+)$/.exec(address);
  if (unix !== null) return socketLine(address, { path: unix[1]! });
  const tcp = /^tcp:(?:\[([^\]]+)\]|([^:]+)):(\d{1,5})$/.exec(address);
  if (tcp !== null && Number(tcp[3]) >= 1 && Number(tcp[3]) <= 65535)
    return socketLine(address, { host: (tcp[1] ?? tcp[2])!, port: Number(tcp[3]) });
  if (address.startsWith('/')) return terminalLine(address);
  throw new UsageError(
    `--serial ${address}: expected unix:PATH, tcp:HOST:PORT or the path of a terminal, such as /dev/pts/3`,
  );
}

/** As `serialLine`, tried for so many seconds: a VMM that starts has not made its socket yet. */
export async function openLater(address: string, seconds: number): Promise<SerialLine> {
  for (const late = Date.now() + seconds * 1000; ; await sleep(50)) {
    try {
      return await serialLine(address);
    } catch (error) {
      if (!(error instanceof MachineError) || Date.now() > late) throw error;
    }
  }
}

async function socketLine(
  address: string,
  to: { readonly path: string } | { readonly host: string; readonly port: number },
): Promise<SerialLine> {
  const socket = connect(to);
  try {
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve).once('error', reject);
      setTimeout(() => reject(new Error('no connection within 5 s')), 5_000).unref();
    });
  } catch (cause) {
    socket.destroy();
    throw new MachineError(`--serial ${address}: ${why(cause)}`, { cause });
  }
  return {
    console: consoleOf(socket, socket),
    gone: async () => (socket.readyState === 'open' ? undefined : 'closed the connection'),
    close: async () => void socket.destroy(),
  };
}

async function terminalLine(path: string): Promise<SerialLine> {
  const handles: number[] = [];
  try {
    for (const flags of [constants.O_RDONLY, constants.O_WRONLY]) {
      const handle = await open(path, flags | constants.O_NOCTTY | constants.O_NONBLOCK);
      handles.push(handle.fd);
      // Kept open by the streams below; the handle's own finaliser must not close it.
      kept.add(handle);
    }
  } catch (cause) {
    throw new MachineError(`--serial ${path}: ${why(cause)}`, { cause });
  }
  const [input, output] = handles;
  if (!isatty(input!)) throw new MachineError(`--serial ${path}: it is no terminal`);
  const readable = new ReadStream(input!);
  readable.setRawMode(true); // no echo, no translation of line ends
  const writable = new WriteStream(output!);
  return {
    console: consoleOf(readable, writable),
    gone: async () => (readable.destroyed ? 'closed the terminal' : undefined),
    async close() {
      readable.destroy();
      writable.destroy();
    },
  };
}

const kept = new Set<unknown>();

function why(cause: unknown): string {
  const { code, message } = cause as NodeJS.ErrnoException;
  const known: Record<string, string> = {
    ENOENT: 'there is no such thing',
    ECONNREFUSED: 'nobody listens there',
    EACCES: 'it may not be opened',
    ENOTFOUND: 'there is no such host',
    ENOTSOCK: 'it is no socket',
    EISDIR: 'it is a folder',
  };
  return known[code ?? ''] ?? message;
}

/** Node's streams as web streams; unread data waits at its sender. */
function consoleOf(input: Readable, output: Writable): Console {
  output.on('error', () => {}); // a failed write shows as a missing answer
  return {
    readable: new ReadableStream<Uint8Array>({
      start(controller) {
        let open = true;
        const close = (): void => {
          if (open) controller.close();
          open = false;
        };
        input.on('data', (bytes: Uint8Array) => {
          if (!open) return;
          controller.enqueue(bytes);
          if ((controller.desiredSize ?? 0) <= 0) input.pause();
        });
        input.on('end', close).on('close', close).on('error', close);
      },
      pull: () => void input.resume(),
      cancel: () => void input.destroy(),
    }),
    writable: new WritableStream<Uint8Array>({
      write: (bytes) =>
        new Promise((resolve, reject) => {
          output.write(bytes, (error) => (error ? reject(error) : resolve()));
        }),
    }),
  };
}
