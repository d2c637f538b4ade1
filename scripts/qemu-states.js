// Machine controls of `commonhv verify` for a QEMU with `-monitor unix:MONITOR,server=on,wait=off`:
//   node scripts/qemu-states.js save MONITOR STATE      savevm, and the same machine once more in the file STATE for -incoming
//   node scripts/qemu-states.js restore MONITOR STATE   loadvm
// savevm needs a qcow2 disk, which no device has to use (-drive if=none). Exit status 1, with one line, where QEMU refuses.
import { basename } from 'node:path';
import { openMonitor } from './qemu-monitor.js';

const LIMIT_MS = 50_000; // below the time that `verify` gives a control
const [verb, path, state] = process.argv.slice(2);

function fail(text) {
  console.error(`qemu-states: ${text}`);
  process.exit(1);
}

if (!['save', 'restore'].includes(verb) || state === undefined)
  fail('expected save or restore, the path of the monitor and the path of the state');
const monitor = await openMonitor(path, LIMIT_MS, (text) => fail(`${verb}: ${text}`));
const name = basename(state);
if (verb === 'restore') await monitor.succeed(`loadvm ${name}`);
else {
  await monitor.succeed(`savevm ${name}`);
  await monitor.writeState(state);
  await monitor.succeed('cont');
}
process.exit(0);
