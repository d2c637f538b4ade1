// node scripts/copied-host/follower.js FOLDER: a layer in a machine that is copied, which follows the machine's generation by driver or
// agent. Its guest has a generation page in stand-in RAM. Writes FOLDER/ready, and draws nothing until FOLDER/go is there; then it writes
// its generation before and after, the page, how often it renewed them, and random values, to FOLDER/result as JSON.
import { existsSync, renameSync, writeFileSync } from 'node:fs';
import { bare } from 'commonhv';
import { commonhv, systemSource } from 'commonhv/hypervisor';

const [RNG, GENERATION, PAGE] = [0x4000_00a0, 0x4000_00a1, 0x4000_00a2];
const [ADDRESS, ENABLE] = [0x1000n, 1n];
const VALUES = 1000;
const LOOK_MS = 5;
const WAIT_MS = 600_000;

const ram = new BigUint64Array(2);
const memory = {
  isRam: (address) => address === Number(ADDRESS),
  store: (_address, offset, value) => {
    ram[offset >> 3] = value;
  },
  load: (_address, offset) => ram[offset >> 3],
};
let renewed = 0;
const folder = process.argv[2];
const generation = { page: true, onRenewed: () => renewed++ };
const cpu = commonhv({ rng: { source: systemSource() }, generation })({ ...bare, memory });
const values = (count) => Array.from({ length: count }, () => String(cpu.rdmsr(RNG)));

const refused = cpu.wrmsr(PAGE, ADDRESS | ENABLE);
if (refused !== undefined) throw new Error(`the page was refused: ${refused}`);
values(VALUES);
const before = String(ram[0]);
writeFileSync(`${folder}/ready`, '');
setTimeout(() => process.exit(1), WAIT_MS).unref();
const timer = setInterval(() => {
  if (!existsSync(`${folder}/go`)) return;
  clearInterval(timer);
  cpu.poll(); // as an engine does before its guest goes on
  const page = String(ram[0]);
  const result = { before, after: String(cpu.rdmsr(GENERATION)), page, renewed, values: values(VALUES) };
  writeFileSync(`${folder}/result.new`, `${JSON.stringify(result)}\n`);
  renameSync(`${folder}/result.new`, `${folder}/result`);
}, LOOK_MS);
