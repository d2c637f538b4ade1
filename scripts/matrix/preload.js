// CommonHV under QEMU unmodified: many verifies, since one in nine once gave no answer; the bed; the plugin with a newer QEMU.
const STATES = ['node', 'scripts/qemu-states-cell.js'];
const REPEAT = ['node', 'scripts/repeat-verify.js'];
const BED = ['node', 'scripts/bed.js', '--timeout', '1700'];
const test = (...options) => ['node', '--test', ...options, 'build/test/preload-qemu.test.js'];

export const part = {
  title: 'QEMU under preload and with the plugin',
  quick: '1 verify under preload',
  cells: [
    { name: '1 verify under preload', command: [...REPEAT, '1'], seconds: 400 },
    { name: '50 verifies under preload', command: [...REPEAT, '50'], seconds: 3600 },
    { name: '100 verifies under preload', command: [...REPEAT, '100'], seconds: 5400 },
    {
      name: 'bed: verify with sandbox on, -smp 2',
      command: [...BED, ...test('--test-name-pattern', 'verify')],
      env: { COMMONHV_LONG: '1' },
      seconds: 1800,
    },
    {
      name: 'bed: savevm, loadvm twice, -incoming twice',
      command: [...BED, ...test('--test-name-pattern', 'renewed')],
      seconds: 1800,
    },
    {
      name: 'the plugin with the QEMU of Debian unstable',
      command: [
        'sh',
        '-c',
        'PATH="$(sh scripts/newer-qemu.sh):$PATH" && exec node --test build/test/qemu-plugin.test.js',
      ],
      seconds: 900,
    },
    { name: "verify on QEMU/TCG with the plugin, by QEMU's own states", command: STATES },
    {
      name: "verify by QEMU's own states, faulty: each QEMU that starts draws the same values",
      command: [...STATES, '--same-values'],
    },
  ],
};
