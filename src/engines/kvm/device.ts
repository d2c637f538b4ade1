/** The one check of KVM's device file, for engine, tests and benches: it creates nothing and never blocks. */
import { closeSync, constants, openSync, statSync } from 'node:fs';

/**
 * Returns why `path` cannot be used as KVM's device, in a few words, or `undefined` where it is a character device that
 * this process may open for reading and writing.
 */
export function kvmUnavailable(path = '/dev/kvm'): string | undefined {
  try {
    if (!statSync(path).isCharacterDevice()) return 'it is not a character device';
    closeSync(openSync(path, constants.O_RDWR | constants.O_NONBLOCK));
    return undefined;
  } catch (error) {
    return reason((error as NodeJS.ErrnoException).code);
  }
}

function reason(code: string | undefined): string {
  if (code === 'ENOENT') return 'it is not there';
  if (code === 'EACCES' || code === 'EPERM') return 'this user may not open it';
  if (code === 'ENODEV' || code === 'ENXIO') return `no driver answers there (${code})`;
  return code ?? 'unknown error';
}
