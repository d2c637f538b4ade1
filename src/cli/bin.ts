#!/usr/bin/env node
/** The executable: the one file of the command line that touches process. */
import { fstatSync, writeSync } from 'node:fs';
import { createRequire } from 'node:module';
import type { DetectOptions } from './detect.ts';
import type { Io } from './io.ts';

/** Made when somebody listens: a command that does not is ended by the signal itself. */
let interrupt: AbortController | undefined;
function interrupted(): AbortSignal {
  if (interrupt !== undefined) return interrupt.signal;
  const made = new AbortController();
  interrupt = made;
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => {
      // Once more, and a command that does not listen ends all the same.
      if (made.signal.aborted) process.exit(2);
      made.abort(signal);
    });
  }
  return made.signal;
}

/** Standard output as a stream, which takes milliseconds to make: only where a command needs it. */
let stream: NodeJS.WriteStream | undefined;
function stdout(): NodeJS.WriteStream {
  stream ??= process.stdout.on('error', unwritten);
  return stream;
}

/** Output that answers no question: whoever reads a part of it has what was asked for. */
const isText = (word: string | undefined): boolean =>
  word === undefined || /^(?:help|manual|completion|version|-V|--version)$/.test(word);

/** A reader that went away (`commonhv ... | head`) is not reported, and no success where there is a result; a full disk is reported. */
function unwritten({ code }: NodeJS.ErrnoException): never {
  if (code !== 'EPIPE') process.stderr.write(`commonhv: standard output: ${code}\n`);
  const words = process.argv.slice(2);
  const isHelp = isText(words[0]) || words.includes('--help') || words.includes('-h');
  process.exit(code === 'EPIPE' && isHelp ? 0 : 2);
}

/** At once, as Node's own streams do on Linux; the part that a non-blocking reader cannot take is written asynchronously. */
function write(text: string | Uint8Array): Promise<void> {
  let rest = typeof text === 'string' ? Buffer.from(text) : text;
  try {
    while (stream === undefined && rest.length > 0) rest = rest.subarray(writeSync(1, rest));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') unwritten(error as NodeJS.ErrnoException);
  }
  if (rest.length === 0) return Promise.resolve();
  return new Promise((resolve) => stdout().write(rest, () => resolve()));
}

/** A file or a pipe is no terminal, nor is /dev/null (major number 1): asked without making a stream. */
function isTerminal(): boolean {
  const output = fstatSync(1);
  return output.isCharacterDevice() && output.rdev >> 8 !== 1 && stdout().isTTY === true;
}

let shown = false;
// The streams are asked when they are used: many a command needs only its output.
const io: Io = {
  out: write,
  err(line) {
    io.progress('');
    process.stderr.write(`${line}\n`);
  },
  guest(bytes) {
    io.progress('');
    process.stderr.write(bytes);
  },
  progress(line) {
    if ((line === '' && !shown) || process.stderr.isTTY !== true) return;
    shown = line !== '';
    process.stderr.write(`\r\x1b[K${line}`);
  },
  input: () => process.stdin,
  raw(on) {
    if (process.stdin.isTTY === true) process.stdin.setRawMode(on);
    if (!on) process.stdin.pause();
  },
  get interactive() {
    return isTerminal() && process.stdin.isTTY === true;
  },
  get color() {
    if (process.env.NO_COLOR !== undefined) return false;
    return isTerminal() || process.env.FORCE_COLOR !== undefined;
  },
  get width() {
    // A terminal whose size nobody has set has 0 columns.
    return (isTerminal() && stdout().columns) || undefined;
  },
  get interrupted() {
    return interrupted();
  },
  env: process.env,
};

/** The format, where the words are `detect` and no more than that. */
function plainDetect([command, flag, value, ...more]: readonly string[]):
  | DetectOptions['format']
  | undefined {
  if (command !== 'detect' || more.length > 0) return undefined;
  if (flag === undefined) return 'text';
  const formats = ['text', 'json', 'nfd', 'prometheus'] as const;
  return flag === '--format' ? formats.find((format) => format === value) : undefined;
}

async function run(words: readonly string[]): Promise<number> {
  const format = plainDetect(words);
  // The commonest question is answered without the parser, which costs more than the answer. Where that fails, the
  // whole program asks again, and explains.
  if (format !== undefined) {
    const status = await (await import('./detect.ts')).detectHere(format, io).catch(() => undefined);
    if (status !== undefined) return status;
  }
  const { version } = createRequire(import.meta.url)('../../package.json') as { version: string };
  return (await import('./program.ts')).main(words, io, version);
}

// An open handle (a worker, a socket) must not keep the process: its work is done. Output was awaited. No await
// at the top: this file is bundled as CommonJS, which starts faster.
// A program that runs out of things to wait for has not answered.
process.exitCode = 2;
run(process.argv.slice(2)).then((status) => process.exit(status));
