// The KVM engine in the bed, under both of Debian's kernels, and on this machine's own /dev/kvm.
const BED = ['node', 'scripts/bed.js', '--timeout', '1700'];
const TESTS = ['node', 'scripts/test.js', '--kvm', '--serial'];
const BED_TESTS = ['node', 'scripts/bed-tests.js'];
const SEEDED =
  'head -c 1 /dev/urandom >/dev/null; until dmesg | grep -q "crng init done"; do sleep 0.2; done';
const RESEEDED =
  'sleep 1; head -c 8 /dev/urandom | od -An -tx1; dmesg | grep "crng reseeded due to virtual machine fork"';
const COPIES = ['node', 'scripts/bench.js', 'saved-debian'];
/** docs/randomness.md has its row. */
export const COPIED_LAYER = 'bed, with and without VMGenID: two copies of a machine with a layer in it';
const VERIFY = ['node', 'dist/cli/bin.cjs', 'verify', '--engine', 'kvm'];

export const part = {
  title: 'tests that run guests on KVM',
  quick: 'bed: verify',
  cells: [
    { name: 'bed: verify', command: [...BED, ...VERIFY], seconds: 240 },
    { name: 'bed: tests', command: BED_TESTS, seconds: 1800 },
    {
      name: 'bed with the full kernel: tests',
      command: [...BED_TESTS, '--full'],
      seconds: 1800,
    },
    {
      name: 'bed: a stock Debian reseeds by VMGenID',
      command: [...BED, 'node', '--test', 'build/test/kvm-vmgenid-linux.test.js'],
      seconds: 1200,
    },
    {
      name: 'bed with VMGenID: two copies of it reseed their kernel',
      command: [...BED, '--full', '--vmgenid', '--prepare', SEEDED, '--copies', '2', RESEEDED],
      seconds: 600,
    },
    {
      name: COPIED_LAYER,
      command: ['node', 'scripts/copied-host/cell.js'],
      seconds: 900,
    },
    {
      name: 'bed: 12 copies of a Debian',
      command: [...BED, ...COPIES],
      env: { COMMONHV_COPIES: '12' },
      seconds: 1200,
    },
    { name: 'this machine: 100 copies of a Debian', command: COPIES, seconds: 1200 },
    { name: 'this machine: tests', command: TESTS, seconds: 900 },
  ],
};
