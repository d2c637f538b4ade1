// The KVM engine in the bed, under both of Debian's kernels, and on this machine's own /dev/kvm.
const BED = ['node', 'scripts/bed.js', '--timeout', '1700'];
const TESTS = ['node', 'scripts/test.js', '--kvm', '--serial'];
const VERIFY = ['node', 'dist/cli/bin.cjs', 'verify', '--engine', 'kvm'];

export const part = {
  title: 'tests that run guests on KVM',
  quick: 'bed: verify',
  cells: [
    { name: 'bed: verify', command: [...BED, ...VERIFY], seconds: 240 },
    { name: 'bed: tests', command: [...BED, ...TESTS], seconds: 1800 },
    {
      name: 'bed with the full kernel: tests',
      command: [...BED, '--kernel', 'full', ...TESTS],
      seconds: 1800,
    },
    { name: 'this machine: tests', command: TESTS, seconds: 900 },
  ],
};
