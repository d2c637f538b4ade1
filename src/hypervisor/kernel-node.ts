/** The kernel's generator in Node: /dev/urandom on Linux, macOS and the BSDs. On Windows Node has no way to it. */
import { fstatSync, openSync, readSync } from 'node:fs';
import { startupSnapshot } from 'node:v8';

/**
 * Node's own generators (`crypto`, WebCrypto) are OpenSSL's: they run in the process, and notice nothing but a changed process id,
 * so copies of a process, by fork or as part of a copied virtual machine, go on alike. The kernel's generator is reseeded
 * where VMGenID or CommonHV reaches it, and has no state in the process.
 */
const DEVICE = '/dev/urandom';
/** major 1, minor 9 (Linux, Documentation/admin-guide/devices.txt); other systems number it differently. */
const LINUX_DEVICE = 0x109;

/**
 * The generator's name and statement. Windows' own (ProcessPrng, BCryptGenRandom) is reached by native code alone, which this module
 * does without: OpenSSL's is seeded by it, and notices no copy of the machine, so nothing is stated of it.
 */
export const SYSTEM: { readonly name: string; readonly secure: true | undefined } =
  process.platform === 'win32' ? { name: 'OpenSSL', secure: undefined } : { name: 'os', secure: true };

let descriptor: number | undefined;

/** Fills all of `bytes`; throws where the device is missing, is no character device, or ends. */
export function fillFromKernel(bytes: Uint8Array<ArrayBuffer>): void {
  if (process.platform === 'win32') {
    for (let at = 0; at < bytes.length; at += 65_536)
      globalThis.crypto.getRandomValues(bytes.subarray(at, at + 65_536));
    return;
  }
  descriptor ??= open();
  for (let at = 0; at < bytes.length; ) {
    const count = readSync(descriptor, bytes, at, bytes.length - at, null);
    if (count === 0) throw new Error(`${DEVICE} ended`);
    at += count;
  }
}

function open(): number {
  const opened = openSync(DEVICE, 'r');
  const stat = fstatSync(opened);
  if (!stat.isCharacterDevice() || (process.platform === 'linux' && stat.rdev !== LINUX_DEVICE))
    throw new Error(`${DEVICE} is not the kernel's random device`);
  return opened;
}

/** Whether the program runs to build a start-up snapshot of Node: its objects are then copied into every later process. */
export function inStartupSnapshot(): boolean {
  return startupSnapshot?.isBuildingSnapshot?.() === true;
}
