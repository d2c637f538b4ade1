// The tests on machines that lack something, made by scripts/machines.sh; from one build.
import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const script = fileURLToPath(new URL('../machines.sh', import.meta.url));
const machines = execFileSync('sh', [script, '--list'], { encoding: 'utf8' })
  .trim()
  .split('\n')
  .map((line) => line.split(' ')[0]);
/** Tests of the command line and of the engines' availability: they meet every kind of machine. */
const QUICK = ['test/cli.test', 'kvm-cli', 'kvm-ends', 'test/detect'];
/** `npm cit` in the KVM bed, in parts: some three hours in all on a quiet machine. */
const BED_PARTS = Array.from({ length: 20 }, (_, i) => `--part=${i + 1}/20`);
const inBed = (...args) => ['node', 'scripts/bed-clone.js', ...args];

export const part = {
  title: 'the tests on machines that lack something',
  quick: 'quick, no-kvm',
  cells: [
    ...machines.flatMap((machine) => [
      {
        name: `quick, ${machine}`,
        command: ['sh', script, machine, 'node', 'scripts/test.js', ...QUICK],
        seconds: 400,
      },
      { name: `all, ${machine}`, command: ['sh', script, machine, 'node', 'scripts/test.js'], seconds: 2400 },
    ]),
    {
      name: 'a fresh clone, nothing: .ci/run',
      command: ['sh', script, '--fresh', 'nothing', '.ci/run'],
      seconds: 3000,
    },
    {
      name: 'a fresh clone, bed: npm ci, npm start',
      command: inBed('3000', 'npm ci && npm start'),
      seconds: 3300,
    },
    ...BED_PARTS.map((option) => ({
      name: `a fresh clone, bed: npm test, ${option}`,
      command: inBed('--installed', '3000', `node scripts/test.js ${option}`),
      seconds: 3300,
    })),
    { name: "Windows, by Debian's Wine", command: ['node', 'scripts/wine-cell.js'], seconds: 1200 },
  ],
};
