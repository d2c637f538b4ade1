// The human monitor of a QEMU behind a Unix socket, for the programs beside it.
import { statSync } from 'node:fs';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

/** `fail` gets one line and ends the program: the socket's error, a refused command, or no answer within `limitMs` in all. */
export async function openMonitor(path, limitMs, fail) {
  setTimeout(() => fail(`QEMU did not answer within ${limitMs / 1000} s`), limitMs).unref();
  const socket = connect(path);
  let output = '';
  let closed = false;
  socket.on('data', (bytes) => {
    output += bytes;
  });
  socket.on('error', (error) => fail(`${path}: ${error.code}`));
  socket.on('close', () => {
    closed = true;
  });

  /** The output up to the next prompt. */
  async function prompt() {
    while (!output.includes('(qemu) ')) {
      if (closed) fail('the monitor was closed');
      await sleep(5);
    }
    const before = output.slice(0, output.indexOf('(qemu) '));
    output = '';
    return before;
  }

  /** A command; its output, without the echo of the command. */
  async function ask(command) {
    socket.write(`${command}\n`);
    const lines = (await prompt()).split('\n').slice(1);
    return lines.join('\n').trim();
  }

  /** A command that prints nothing where it succeeds. */
  async function succeed(command) {
    const said = await ask(command);
    if (said !== '') fail(`${command}: ${said.replace(/\s+/g, ' ')}`);
  }

  /** Writes the machine to a file for -incoming; it stands still afterwards. */
  async function writeState(state) {
    await succeed('migrate_set_parameter max-bandwidth 8g');
    await succeed(`migrate -d "exec:cat>${state}"`);
    for (;;) {
      const status = /Migration status: (\w+)/.exec(await ask('info migrate'))?.[1];
      if (status === 'completed') break;
      if (status === 'failed' || status === 'cancelled') fail(`migrate: ${status}`);
      await sleep(20);
    }
    if (statSync(state).size === 0) fail(`${state}: empty`);
  }

  await prompt();
  return { succeed, writeState, quit: () => new Promise((done) => socket.end('quit\n', done)) };
}
