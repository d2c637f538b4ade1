/** The one check of KVM's device file, for engine, tests and benches: it creates nothing and never blocks. */
import { closeSync, constants, openSync, statSync } from 'node:fs';

/** Linux' number for KVM's device: 10:232 (MISC_MAJOR and KVM_MINOR of linux/miscdevice.h). */
const KVM_NUMBER = 10 * 256 + 232;

/**
 * Returns why `path` cannot be used as KVM's device, in a few words, or `undefined` where it is a character device that
 * this process may open for reading and writing; at /dev/kvm itself, one with KVM's number.
 */
export function kvmUnavailable(path = '/dev/kvm'): string | undefined {
  try {
    const status = statSync(path);
    if (!status.isCharacterDevice()) return 'it is not a character device';
    if (path === '/dev/kvm' && status.rdev !== KVM_NUMBER) return 'it is another device';
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
