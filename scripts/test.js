// Runs the tests that the build left in dist/ and those under test/; arguments narrow by a part of the file's name.
import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';

const wanted = process.argv.slice(2);
const files = ['dist', 'build/test']
  .flatMap((dir) => {
    try {
      return readdirSync(dir, { recursive: true }).map((name) => join(dir, String(name)));
    } catch {
      return [];
    }
  })
  .filter((file) => file.endsWith('.test.js'))
  .filter((file) => wanted.length === 0 || wanted.some((part) => file.includes(part)));
if (files.length === 0) {
  console.error(`no test file matches ${wanted.join(' ')}`);
  process.exit(2);
}
const { status } = spawnSync(process.execPath, ['--test', ...files], { stdio: 'inherit' });
process.exit(status ?? 1);
