// Machine controls of `commonhv verify` for a QEMU with `-monitor unix:MONITOR,server=on,wait=off`:
//   node scripts/qemu-states.js save MONITOR STATE      savevm, and the same machine once more in the file STATE for -incoming
//   node scripts/qemu-states.js restore MONITOR STATE   loadvm
// savevm needs a qcow2 disk, which no device has to use (-drive if=none). Exit status 1, with one line, where QEMU refuses.
import { statSync } from 'node:fs';
import { connect } from 'node:net';
import { basename } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const LIMIT_MS = 50_000; // below the time that `verify` gives a control
const [verb, monitor, state] = process.argv.slice(2);

function fail(text) {
  console.error(`qemu-states: ${text}`);
  process.exit(1);
}

if (!['save', 'restore'].includes(verb) || state === undefined)
  fail('expected save or restore, the path of the monitor and the path of the state');
setTimeout(() => fail(`${verb}: QEMU did not answer within ${LIMIT_MS / 1000} s`), LIMIT_MS).unref();

const socket = connect(monitor);
let output = '';
let failure;
socket.on('data', (bytes) => {
  output += bytes;
});
socket.on('error', (error) => fail(`${monitor}: ${error.code}`));
socket.on('close', () => {
  failure = 'the monitor was closed';
});

/** The output up to the next prompt. */
async function prompt() {
  while (!output.includes('(qemu) ')) {
    if (failure !== undefined) fail(failure);
    await sleep(5);
  }
  const before = output.slice(0, output.indexOf('(qemu) '));
  output = '';
  return before;
}

/** A command of the human monitor, which prints nothing where it succeeds; its output, without the echo of the command. */
async function ask(command) {
  socket.write(`${command}\n`);
  const lines = (await prompt()).split('\n').slice(1);
  return lines.join('\n').trim();
}

async function succeed(command) {
  const said = await ask(command);
  if (said !== '') fail(`${command}: ${said.replace(/\s+/g, ' ')}`);
}

/** QEMU stops the machine when its state is written; `cont` lets it go on. */
async function writeState() {
  await succeed('migrate_set_parameter max-bandwidth 8g');
  await succeed(`migrate -d "exec:cat>${state}"`);
  for (;;) {
    const status = /Migration status: (\w+)/.exec(await ask('info migrate'))?.[1];
    if (status === 'completed') break;
    if (status === 'failed' || status === 'cancelled') fail(`migrate: ${status}`);
    await sleep(20);
  }
  await succeed('cont');
  if (statSync(state).size === 0) fail(`${state}: empty`);
}

await prompt();
const name = basename(state);
if (verb === 'restore') await succeed(`loadvm ${name}`);
else {
  await succeed(`savevm ${name}`);
  await writeState();
}
process.exit(0);
