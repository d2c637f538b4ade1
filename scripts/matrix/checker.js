// The conformance suite against every machine that the generator makes; `npm cit` verifies a sample of them.
export const part = {
  title: 'the checker against generated machines',
  quick: 'the model',
  cells: [
    { name: 'the model', command: ['node', 'dist/cli/bin.cjs', 'verify', '--engine', 'model'] },
    {
      name: 'every generated machine with one fault, and every valid one',
      command: ['node', 'scripts/test.js', 'generated'],
      env: { COMMONHV_MUTANTS: 'all' },
      seconds: 1800,
    },
    {
      name: 'every flipped bit and every changed answer',
      command: ['node', '--test', 'build/test/mutants.test.js'],
      env: { COMMONHV_MUTANTS: 'all' },
      seconds: 1800,
    },
  ],
};
