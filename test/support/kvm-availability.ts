/** Whether this machine has a KVM that the tests can use. */
import { kvmUnavailable } from 'commonhv/engines/kvm';
import { skipUnless } from './require.ts';

const why = kvmUnavailable();

/** The `skip` option of a test that runs guests on KVM. */
export const skip = skipUnless('kvm', why === undefined, `/dev/kvm cannot be used here: ${why}`);
