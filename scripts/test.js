// Runs the tests that the build left in dist/ and those under test/; arguments narrow by a part of the file's name.
//   --kvm      those that run guests on KVM, as their source says
//   --serial   one file at a time
//   --part=I/N every Nth of these files, from the Ith on
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { kvmTests } from './kvm-tests.js';

const args = process.argv.slice(2);
const parts = args.filter((arg) => !arg.startsWith('-'));
const isPart = (arg) => /^--part=[1-9]\d*\/[1-9]\d*$/.test(arg);
const unknown = args.find(
  (arg) => arg.startsWith('-') && !['--kvm', '--serial'].includes(arg) && !isPart(arg),
);
if (unknown !== undefined) {
  console.error(`${unknown}: expected --kvm, --serial, --part=I/N, or parts of file names`);
  process.exit(2);
}

const kvm = args.includes('--kvm') && kvmTests().map((name) => join('build/test', `${name}.test.js`));
const [first, step] = (args.find(isPart) ?? '--part=1/1').slice('--part='.length).split('/').map(Number);
const files = ['dist', 'build/test']
  .filter((folder) => existsSync(folder))
  .flatMap((folder) => readdirSync(folder, { recursive: true }).map((name) => join(folder, String(name))))
  .filter((file) => file.endsWith('.test.js'))
  .filter((file) => parts.length === 0 || parts.some((part) => file.includes(part)))
  .filter((file) => kvm === false || kvm.includes(file))
  .filter((_, i) => i % step === first - 1);
if (files.length === 0) {
  console.error(`no test file matches ${args.join(' ')}`);
  process.exit(2);
}
// Many tests wait for a guest most of the time: two files at once at least. Node knows the flag from 20.10 on.
const atOnce = args.includes('--serial') ? 1 : Math.max(2, availableParallelism());
const [major, minor] = process.versions.node.split('.').map(Number);
const options = major > 20 || minor >= 10 ? [`--test-concurrency=${atOnce}`] : [];
const { status } = spawnSync(process.execPath, ['--test', ...options, ...files], { stdio: 'inherit' });
process.exit(status ?? 1);
