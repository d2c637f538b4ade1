// node scripts/copied-host/layer.js FOLDER: a layer in a machine that is copied. It fills its read-ahead, writes FOLDER/ready, and
// waits for FOLDER/go; then it writes random values, and the generations of restores, to FOLDER/result as JSON. Nothing is drawn
// while it waits: two copies of a kernel that was not told go on with equal steps.
import { existsSync, renameSync, writeFileSync } from 'node:fs';
import { bare } from 'commonhv';
import { commonhv, systemSource } from 'commonhv/hypervisor';

const [RNG, GENERATION] = [0x4000_00a0, 0x4000_00a1];
const VALUES = 1000;
const RESTORES = 50;
const LOOK_MS = 5;
const WAIT_MS = 600_000;

const folder = process.argv[2];
const cpu = commonhv({ rng: { source: systemSource() }, generation: {} })(bare);
const values = (count) => Array.from({ length: count }, () => String(cpu.rdmsr(RNG)));

function result() {
  const first = values(VALUES);
  const generations = Array.from({ length: RESTORES }, () => {
    cpu.restored(cpu.saved());
    return String(cpu.rdmsr(GENERATION));
  });
  return { values: [...first, ...values(VALUES)], generations };
}

values(2 * VALUES);
writeFileSync(`${folder}/ready`, '');
setTimeout(() => process.exit(1), WAIT_MS).unref();
const timer = setInterval(() => {
  if (!existsSync(`${folder}/go`)) return;
  clearInterval(timer);
  writeFileSync(`${folder}/result.new`, `${JSON.stringify(result())}\n`);
  renameSync(`${folder}/result.new`, `${folder}/result`);
}, LOOK_MS);
