#!/usr/bin/env node
/** The executable: the one file of the command line that touches process. */
import { readFileSync } from 'node:fs';
import type { Io } from './io.ts';
import { main } from './program.ts';

const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
  version: string;
};
const interrupt = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(signal, () => {
    // Once more, and a command that does not listen ends all the same.
    if (interrupt.signal.aborted) process.exit(2);
    interrupt.abort(signal);
  });
}
// A reader that went away (`commonhv ... | head`) is no error of ours.
process.stdout.on('error', () => process.exit(2));

const wantsColor =
  process.env.NO_COLOR === undefined &&
  (process.stdout.isTTY === true || process.env.FORCE_COLOR !== undefined);
let shown = false;
const io: Io = {
  out: (text) => new Promise((resolve) => process.stdout.write(text, () => resolve())),
  err(line) {
    io.progress('');
    process.stderr.write(`${line}\n`);
  },
  guest(bytes) {
    io.progress('');
    process.stderr.write(bytes);
  },
  progress(line) {
    if (process.stderr.isTTY !== true || (line === '' && !shown)) return;
    shown = line !== '';
    process.stderr.write(`\r\x1b[K${line}`);
  },
  input: () => process.stdin,
  raw(on) {
    if (process.stdin.isTTY === true) process.stdin.setRawMode(on);
    if (!on) process.stdin.pause();
  },
  interactive: process.stdin.isTTY === true && process.stdout.isTTY === true,
  color: wantsColor,
  interrupted: interrupt.signal,
  env: process.env,
};
const status = await main(process.argv.slice(2), io, version);
// What a command left open (a worker, a socket) must not keep the process: its work is done. Output was awaited.
process.exit(status);
