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
    { name: "Windows, by Debian's Wine", command: ['node', 'scripts/wine-cell.js'], seconds: 1200 },
  ],
};
