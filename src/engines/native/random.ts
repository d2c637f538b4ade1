/** Linux' random device: mixing bytes into the kernel's pool, crediting them, and having its generator use them at once. */
import { closeSync, openSync } from 'node:fs';
import { release } from 'node:os';
import { MachineError } from '../../cpu.ts';
import { check, ffi } from '../ffi.ts';

// <linux/random.h>
export const RNDADDENTROPY = 0x4008_5203; // _IOW('R', 0x03, int[2])
export const RNDRESEEDCRNG = 0x0000_5207; // _IO('R', 0x07)

const ENODATA = 61; // <asm-generic/errno.h>: the generator was never seeded, so there is nothing to reseed

/** Bits of credit for which every kernel takes a new key (drivers/char/random.c before 5.18: CRNG_KEY_SIZE / 2 bytes). */
const ENOUGH = 128;

/** ioctl(2) with a pointer; a failure is the negative error number. */
export type Ioctl = (fd: number, request: number, bytes: Uint8Array | null) => number;

/** The kernel's pool. */
export interface Pool {
  /** Mixes bytes in and counts them for `bits` of entropy, 0 to 8 for each. */
  add(bytes: Uint8Array, bits: number): void;
  /**
   * Makes the generator take a new key from the pool. False where it did not, or may not have: it was never seeded and waits for
   * enough credit; or it is older than Linux 5.18, which takes none for less than 128 bits of credit.
   */
  reseed(): boolean;
  close(): void;
}

/** Throws a `MachineError` where the device cannot be opened, and later where the kernel refuses (it wants root). */
export function kernelPool(path = '/dev/random', ioctl?: Ioctl, kernel = release()): Pool {
  let credited = 0;
  const call: Ioctl = ioctl ?? ffi().ioctlAt;
  let fd: number;
  try {
    fd = openSync(path, 'r+');
  } catch (cause) {
    throw new MachineError(`${path} cannot be opened: ${(cause as NodeJS.ErrnoException).code}`, { cause });
  }
  const refused = (result: number, what: string): number => {
    if (result === -1) throw new MachineError(`${what}: not allowed: run as root (CAP_SYS_ADMIN)`); // EPERM
    return check(result, what);
  };
  return {
    add(bytes, bits) {
      // struct rand_pool_info: int entropy_count, int buf_size, then the bytes.
      const info = new Uint8Array(8 + bytes.length);
      const view = new DataView(info.buffer);
      view.setInt32(0, bits, true);
      view.setInt32(4, bytes.length, true);
      info.set(bytes, 8);
      try {
        refused(call(fd, RNDADDENTROPY, info), `${path}: RNDADDENTROPY`);
      } finally {
        info.fill(0);
      }
      credited += bits;
    },
    reseed() {
      const result = call(fd, RNDRESEEDCRNG, null);
      if (result === -ENODATA) return false;
      refused(result, `${path}: RNDRESEEDCRNG`);
      const enough = credited >= ENOUGH;
      credited = 0;
      return enough || isSince518(kernel);
    },
    close: () => closeSync(fd),
  };
}

function isSince518(kernel: string): boolean {
  const [major = 0, minor = 0] = kernel.split('.').map((part) => Number.parseInt(part, 10));
  return major > 5 || (major === 5 && minor >= 18);
}
