/** Node's own generators, seeded anew: OpenSSL's, the caches of `randomUUID` and `randomInt`, and `Math.random`. */
import { randomInt, randomUUID, webcrypto } from 'node:crypto';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { processFunction } from '../engines/ffi.ts';

/** Values that Node draws ahead (lib/internal/crypto/random.js): 128 UUIDs; randomInt's bytes hold at most 1,024 numbers. */
const CACHED_UUIDS = 128;
const CACHED_INTS = 1024;

interface OpenSsl {
  seed(bytes: Uint8Array, length: number): void;
  poll(): number;
}
let openssl: OpenSsl | undefined;

/** OpenSSL inside of this Node. Throws a MachineError where koffi or the functions are missing. */
function library(): OpenSsl {
  if (openssl === undefined) {
    const seed = processFunction('void RAND_seed(void *bytes, int length)');
    const poll = processFunction('int RAND_poll()');
    openssl = { seed: (bytes, length) => void seed(bytes, length), poll: () => poll() };
  }
  return openssl;
}

/**
 * Seeds OpenSSL's generators with `own`, which only this copy of the machine has, then by the kernel, and drops the values that
 * this thread has drawn ahead. Other threads draw from the same generators, and have caches of their own. `own` is wiped.
 */
export function rekey(own: Uint8Array): void {
  const { seed, poll } = library();
  seed(own, own.length);
  own.fill(0);
  if (poll() !== 1) throw new Error('OpenSSL could not seed its generators (RAND_poll)');
  for (let i = 0; i < CACHED_UUIDS; i++) {
    randomUUID();
    webcrypto.randomUUID();
  }
  for (let i = 0; i < CACHED_INTS; i++) randomInt(2);
}

/**
 * Gives `Math.random` of this thread a new seed. A reference to the old function that a module has kept repeats as before.
 * The numbers stay predictable, as those of any `Math.random`.
 */
export function rekeyMathRandom(): void {
  setFlagsFromString(`--random-seed=${randomInt(1, 2 ** 31 - 1)}`);
  const random = runInNewContext('Math.random') as () => number;
  random(); // the context's generator takes its seed at its first call
  Math.random = random;
}
