/** Whether this machine has a KVM that the tests can use. */
import { kvmUnavailable } from 'commonhv/engines/kvm';
import { skipUnless } from './require.ts';

const why = kvmUnavailable();

/** The `skip` option of a test that runs guests on KVM. */
export const skip = skipUnless('kvm', why === undefined, `/dev/kvm cannot be used here: ${why}`);

/** The `skip` option of other engines' part in a file of KVM tests: in the KVM bed they would take most of its time. */
export const notInBed: false | string =
  process.env.COMMONHV_BED === undefined ? false : 'the bed is for tests on KVM; this one runs outside';
