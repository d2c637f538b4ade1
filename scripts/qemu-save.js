// node scripts/qemu-save.js MONITOR STATE CONSOLE [TEXT]: waits until ten sample lines (or ten times TEXT) are in the file
// CONSOLE, then has the QEMU behind the monitor's socket write its state to a file and end.
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

const [monitor, state, guestConsole, text = 'commonhv-sample 1 '] = process.argv.slice(2);
const samples = () => {
  try {
    return readFileSync(guestConsole, 'latin1').split(text).length - 1;
  } catch {
    return 0;
  }
};
for (const late = Date.now() + 200_000; samples() < 10; await sleep(100)) {
  if (Date.now() < late) continue;
  console.error(`qemu-save: ${samples()} samples within 200 s`);
  process.exit(1);
}
const socket = connect(monitor);
let said = '';
socket.on('data', (bytes) => {
  said += bytes;
});
socket.on('error', (error) => {
  console.error(`qemu-save: ${monitor}: ${error.message}`);
  process.exit(1);
});
const until = async (text) => {
  for (const late = Date.now() + 60_000; !said.includes(text); await sleep(50)) {
    if (Date.now() < late) continue;
    console.error(`qemu-save: no "${text}" from the monitor`);
    process.exit(1);
  }
  said = '';
};
await until('(qemu)');
socket.write('migrate_set_parameter max-bandwidth 8g\n');
await until('(qemu)');
socket.write(`migrate "exec:cat>${state}"\n`);
await until('(qemu)');
for (let waited = 0; waited < 600; waited++) {
  socket.write('info migrate\n');
  await sleep(100);
  if (/Migration status: completed/.test(said)) break;
  if (/Migration status: failed/.test(said)) process.exit(1);
}
socket.write('quit\n');
await sleep(200);
process.exit(0);
