// A Node process with a layer that is copied with the same process id (same-pid.c, preloaded): prints a line of JSON for each copy.
// Argument: the layer's source, `kernel`, or `node` (WebCrypto, OpenSSL's generator in the process).
import { writeSync } from 'node:fs';
import { bare } from 'commonhv';
import { commonhv, type Source, systemSource } from 'commonhv/hypervisor';

declare const process: NodeJS.Process & { reallyExit(status: number): never };

const [RNG, GENERATION] = [0x4000_00a0, 0x4000_00a1];
const node: Source = { name: 'node', fill: (bytes) => void globalThis.crypto.getRandomValues(bytes) };
const next = (): bigint => globalThis.crypto.getRandomValues(new BigUint64Array(1))[0]!;
const cpu = commonhv(
  process.argv[2] === 'node'
    ? { rng: { source: node }, generation: { next } }
    : { rng: { source: systemSource() }, generation: {} },
)(bare);
const values = (count: number): string[] => Array.from({ length: count }, () => String(cpu.rdmsr(RNG)));

values(2000); // a guest that reads on has the largest read-ahead
const copiedAt = performance.now();
values(1); // drawn at about that time
for (let copy = 0; copy < 2; copy++) {
  if (process.umask(0o123) !== 1) continue;
  // The clock of a copied machine stands still meanwhile: at first everything that was prepared is young enough.
  performance.now = () => copiedAt;
  const first = values(2000);
  performance.now = () => copiedAt + 1.5;
  const later = values(4000);
  const before = String(cpu.rdmsr(GENERATION));
  cpu.restored!(cpu.saved!());
  const after = String(cpu.rdmsr(GENERATION));
  writeSync(1, `${JSON.stringify({ first, later, before, after, restored: values(1000) })}\n`);
  process.reallyExit(0);
}
