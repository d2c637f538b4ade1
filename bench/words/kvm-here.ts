/** Whether this machine has a KVM that a benchmark can use; without it the benchmark leaves KVM's figures out. */
import { accessSync, constants } from 'node:fs';

export function hasKvm(): boolean {
  try {
    accessSync('/dev/kvm', constants.R_OK | constants.W_OK);
    return true;
  } catch {
    return false;
  }
}
