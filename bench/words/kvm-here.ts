/** Whether this machine has a KVM that a benchmark can use; without it the benchmark leaves KVM's figures out. */
import { kvmUnavailable } from 'commonhv/engines/kvm';

export const hasKvm = (): boolean => kvmUnavailable() === undefined;
