/** The random device: the numbers of linux/random.h, the bytes passed, and the descriptors left open. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { kernelPool, RNDADDENTROPY, RNDRESEEDCRNG } from './random.ts';

const header = '/usr/include/linux/random.h';
const skip = existsSync(header) && existsSync('/usr/bin/cc') ? false : `no cc or no ${header}`;

test('the ioctl numbers and the layout are those of linux/random.h', { skip }, () => {
  const dir = mkdtempSync(join(tmpdir(), 'commonhv-'));
  const source = `#include <stddef.h>\n#include <stdio.h>\n#include <sys/ioctl.h>\n#include <linux/random.h>
    int main(void) { struct rand_pool_info *i = 0; printf("%lu %lu %zu %zu %zu", (unsigned long)RNDADDENTROPY,
    (unsigned long)RNDRESEEDCRNG, offsetof(struct rand_pool_info, entropy_count),
    offsetof(struct rand_pool_info, buf_size), offsetof(struct rand_pool_info, buf)); return i != 0; }`;
  writeFileSync(join(dir, 'numbers.c'), source);
  execFileSync('cc', ['-o', join(dir, 'numbers'), join(dir, 'numbers.c')]);
  const printed = execFileSync(join(dir, 'numbers'), { encoding: 'utf8' });
  assert.equal(printed, `${RNDADDENTROPY} ${RNDRESEEDCRNG} 0 4 8`);
  assert.deepEqual([RNDADDENTROPY, RNDRESEEDCRNG], [0x40085203, 0x5207]);
  rmSync(dir, { recursive: true });
});

test('bytes go over with their credit and length, and are wiped', () => {
  const calls: { request: number; seen: number[]; bytes: Uint8Array | null }[] = [];
  const pool = kernelPool('/dev/null', (_fd, request, bytes) => {
    calls.push({ request, seen: [...(bytes ?? [])], bytes });
    return 0;
  });
  pool.add(Uint8Array.of(1, 2, 3, 4), 32);
  assert.equal(pool.reseed(), true);
  pool.close();
  assert.deepEqual(
    calls.map(({ request, seen }) => [request, seen]),
    [
      [0x40085203, [32, 0, 0, 0, 4, 0, 0, 0, 1, 2, 3, 4]],
      [0x5207, []],
    ],
  );
  assert.deepEqual([...calls[0]!.bytes!], Array(12).fill(0));
});

test('what the kernel refuses: root is missing, nothing to reseed yet', () => {
  const answer = (result: number) => kernelPool('/dev/null', () => result);
  assert.throws(() => answer(-1).add(Uint8Array.of(1), 0), /RNDADDENTROPY: not allowed: run as root/);
  assert.equal(answer(-61).reseed(), false);
  assert.throws(() => answer(-1).reseed(), /RNDRESEEDCRNG: not allowed/);
  assert.throws(
    () => kernelPool('/nowhere/random', () => 0),
    /^MachineError: \/nowhere\/random cannot be opened: ENOENT/,
  );
});

test('the kernel of this machine takes bytes for no credit', { skip: rootless() }, () => {
  const pool = kernelPool();
  pool.add(crypto.getRandomValues(new Uint8Array(64)), 0);
  assert.equal(typeof pool.reseed(), 'boolean');
  pool.close();
});

/** Mixing for no credit does a machine only good, but wants CAP_SYS_ADMIN, which a container lacks. */
function rootless(): string | false {
  if (process.platform !== 'linux' || process.arch !== 'x64') return 'not Linux on x64';
  try {
    const pool = kernelPool();
    pool.add(new Uint8Array(8), 0);
    pool.close();
    return false;
  } catch (error) {
    return (error as Error).message;
  }
}
