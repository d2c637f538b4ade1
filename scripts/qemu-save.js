// node scripts/qemu-save.js MONITOR STATE CONSOLE [TEXT]: waits until ten sample lines (or ten times TEXT) are in the file
// CONSOLE, then has the QEMU behind the monitor's socket write its state to a file and end.
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { openMonitor } from './qemu-monitor.js';

const LIMIT_MS = 120_000;
const [path, state, guestConsole, text = 'commonhv-sample 1 '] = process.argv.slice(2);

function fail(line) {
  console.error(`qemu-save: ${line}`);
  process.exit(1);
}
const samples = () => {
  try {
    return readFileSync(guestConsole, 'latin1').split(text).length - 1;
  } catch {
    return 0;
  }
};

for (const late = Date.now() + 200_000; samples() < 10; await sleep(100))
  if (Date.now() > late) fail(`${samples()} samples within 200 s`);
const monitor = await openMonitor(path, LIMIT_MS, fail);
await monitor.writeState(state);
await monitor.quit();
await sleep(200);
process.exit(0);
