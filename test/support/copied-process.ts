// A Node process that is copied with the same process id (same-pid.c, preloaded): prints a line of JSON for each copy's draws.
// Arguments: `none`, `poll` (RAND_poll alone), `drain` (caches alone) or `rekey`.
import { createECDH, generateKeyPairSync, randomBytes, randomInt, randomUUID, webcrypto } from 'node:crypto';
import { closeSync, openSync, readSync, writeSync } from 'node:fs';

declare const process: NodeJS.Process & { reallyExit(status: number): never };

const remedy = process.argv[2];
const dist = (name: string): string => new URL(`../../../dist/${name}`, import.meta.url).href;
const { rekey, rekeyMathRandom } = (await import(
  dist('restored/rekey.js')
)) as typeof import('../../src/restored/rekey.ts');
const { processFunction } = (await import(
  dist('engines/ffi.js')
)) as typeof import('../../src/engines/ffi.ts');
function draw(): Record<string, string> {
  const ecdh = createECDH('prime256v1');
  return {
    randomBytes: randomBytes(16).toString('hex'),
    randomUUID: randomUUID(),
    webUUID: webcrypto.randomUUID(),
    getRandomValues: Buffer.from(webcrypto.getRandomValues(new Uint8Array(16))).toString('hex'),
    randomInt: String(randomInt(2 ** 40)),
    ed25519: generateKeyPairSync('ed25519').publicKey.export({ format: 'der', type: 'spki' }).toString('hex'),
    ecdh: ecdh.generateKeys('hex'),
    mathRandom: String(Math.random()),
  };
}

function mend(): void {
  if (remedy === 'poll') processFunction('int RAND_poll()')();
  if (remedy === 'drain') for (let i = 0; i < 1024; i++) [randomUUID(), randomInt(2)];
  if (remedy !== 'rekey') return;
  const own = new Uint8Array(32);
  const fd = openSync('/dev/urandom', 'r');
  readSync(fd, own);
  closeSync(fd);
  rekey(own);
  rekeyMathRandom();
}

draw(); // every generator is in use, its values drawn ahead
for (let copy = 0; copy < 2; copy++) {
  if (process.umask(0o123) !== 1) continue;
  mend();
  writeSync(1, `${JSON.stringify(draw())}\n`);
  process.reallyExit(0);
}
