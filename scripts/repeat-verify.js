// node scripts/repeat-verify.js N: N runs of the checker on QEMU/KVM under preload. The last line counts the results. Exit status 0
// where each run conforms, 1 where one does not, 3 where there is no /dev/kvm. Runs that were interrupted are counted on by the next
// call with the same N, while library and QEMU are the same: .cache/repeat-verify-N.json holds them.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { accessSync, constants, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

process.chdir(fileURLToPath(new URL('..', import.meta.url)));
const LIBRARY = 'c/preload/libcommonhv-preload.so';
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
const run = (command, args) => spawnSync(command, args, { encoding: 'utf8', timeout: 360_000 });
const { status: made, stderr: flaw } = run('make', ['-s', '-C', 'c/preload']);
if (made !== 0) {
  console.error(`repeat-verify: the library is not built: ${flaw?.trim().split('\n').at(-1) ?? 'no make'}`);
  process.exit(3);
}
const qemu = `node dist/cli/bin.cjs preload --require --library ${LIBRARY} -- qemu-system-x86_64 -accel kvm -cpu qemu64 -m 16 -nodefaults -display none -serial stdio -kernel {probe}`;

/** Of the parts that answer the checker. */
const key = createHash('sha256')
  .update(readFileSync(LIBRARY))
  .update(run('qemu-system-x86_64', ['--version']).stdout ?? '')
  .digest('hex');
const file = `.cache/repeat-verify-${runs}.json`;
/** { key, results }: the result of each run so far. */
function readResults() {
  try {
    const found = JSON.parse(readFileSync(file, 'utf8'));
    return found.key === key ? found.results : [];
  } catch {
    return [];
  }
}
function writeResults(results) {
  mkdirSync('.cache', { recursive: true });
  writeFileSync(`${file}.part`, JSON.stringify({ key, results }));
  renameSync(`${file}.part`, file);
}

function verify() {
  const args = ['dist/cli/bin.cjs', 'verify', '--format', 'json', '--timeout', '300', '--exec', qemu];
  const { stdout, stderr } = run(process.execPath, args);
  if (stdout === '') return stderr.trim().split('\n').at(-1) || 'no answer';
  const { passed, failed } = JSON.parse(stdout);
  return `${passed} passed, ${failed} failed`;
}

const results = readResults();
if (results.length > 0) console.log(`${results.length} runs are counted already`);
while (results.length < runs) {
  results.push(verify());
  writeResults(results);
  console.log(`${results.length}: ${results.at(-1)}`);
}
rmSync(file, { force: true });
const counts = new Map();
for (const result of results) counts.set(result, (counts.get(result) ?? 0) + 1);
const conforming = results.filter((result) => / passed, 0 failed$/.test(result)).length;
console.log(
  `${conforming} of ${runs} conform: ${[...counts].map(([result, times]) => `${times} times ${result}`).join('; ')}`,
);
process.exitCode = conforming === runs ? 0 : 1;
