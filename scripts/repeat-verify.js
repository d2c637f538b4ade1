// node scripts/repeat-verify.js N: N runs of the checker on QEMU/KVM under preload. The last line counts the results. Exit status 0
// where each run conforms, 1 where one does not, 3 where there is no /dev/kvm.
import { spawnSync } from 'node:child_process';
import { accessSync, constants } from 'node:fs';

const runs = Number(process.argv[2]);
if (!Number.isInteger(runs) || runs < 1) {
  console.error(`repeat-verify: ${process.argv[2] ?? 'nothing'}: expected a number of runs`);
  process.exit(2);
}
try {
  accessSync('/dev/kvm', constants.R_OK | constants.W_OK);
} catch (error) {
  console.error(`repeat-verify: /dev/kvm: ${error.code}`);
  process.exit(3);
}
const qemu =
  'node dist/cli/bin.cjs preload --require -- qemu-system-x86_64 -accel kvm -cpu qemu64 -m 16 -nodefaults -display none -serial stdio -kernel {probe}';
const counts = new Map();
for (let run = 0; run < runs; run++) {
  const args = ['dist/cli/bin.cjs', 'verify', '--format', 'json', '--timeout', '300', '--exec', qemu];
  const { stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8', timeout: 360_000 });
  let result = stderr.trim().split('\n').at(-1) || 'no answer';
  if (stdout !== '') {
    const { passed, failed } = JSON.parse(stdout);
    result = `${passed} passed, ${failed} failed`;
  }
  counts.set(result, (counts.get(result) ?? 0) + 1);
  console.log(`${run + 1}: ${result}`);
}
const good = [...counts].filter(([result]) => / passed, 0 failed$/.test(result));
const conforming = good.reduce((sum, [, count]) => sum + count, 0);
console.log(
  `${conforming} of ${runs} conform: ${[...counts].map(([result, count]) => `${count} times ${result}`).join('; ')}`,
);
process.exitCode = conforming === runs ? 0 : 1;
