/** Whether this machine has a KVM that the tests can use. */
import { closeSync, openSync } from 'node:fs';
import { skipUnless } from './require.ts';

function canOpen(): boolean {
  try {
    closeSync(openSync('/dev/kvm', 'r+'));
    return true;
  } catch {
    return false;
  }
}

/** The `skip` option of a test that runs guests on KVM. */
export const skip = skipUnless('kvm', canOpen(), '/dev/kvm cannot be opened for writing here');
