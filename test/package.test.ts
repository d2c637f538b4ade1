/** The package as others get it: what is in it, and an outside project that uses it. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { build } from 'esbuild';

const work = mkdtempSync(join(tmpdir(), 'commonhv-package-'));
const run = (command: string, args: readonly string[], cwd: string): string =>
  execFileSync(command, args, { cwd, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
let tarball = '';
let files: readonly string[] = [];

before(() => {
  const packed = run('npm', ['pack', '--json', '--ignore-scripts', '--pack-destination', work], '.');
  // npm 11 gives a list, later ones an object by name.
  const parsed = JSON.parse(packed) as Record<string, { filename: string; files: { path: string }[] }>;
  const [entry] = Object.values(parsed);
  tarball = join(work, entry!.filename);
  files = entry!.files.map(({ path }) => path);
});
after(() => rmSync(work, { recursive: true, force: true }));

test('the tarball holds what users need and nothing else', () => {
  for (const path of [
    'README.md',
    'LICENSE',
    'CHANGELOG.md',
    'dist/cli/bin.cjs',
    'dist/cpu.d.ts',
    'docs/draft3.md',
  ]) {
    assert.ok(files.includes(path), path);
  }
  const wrong = files.filter(
    (path) =>
      !/^(dist\/|docs\/[^/]+\.md$|c\/|examples\/|(README|CHANGELOG|CONTRIBUTING|SECURITY)\.md$|LICENSE$|package\.json$)/.test(
        path,
      ),
  );
  assert.deepEqual(wrong, []);
  assert.deepEqual(
    files.filter((path) => /\.test\.|\.tsbuildinfo|^dist\/(test|bench)\//.test(path)),
    [],
  );
});

test('publint and arethetypeswrong find nothing', () => {
  assert.match(run('npx', ['publint', '--strict', tarball], '.'), /All good!/);
  run('npx', ['attw', '--profile', 'esm-only', '--format', 'ascii', tarball], '.'); // exits 1 where it finds something
});

test("an outside project, installed from the tarball, runs the README's ten lines", () => {
  writeFileSync(join(work, 'package.json'), '{ "name": "outside", "private": true, "type": "module" }');
  run('npm', ['install', '--no-audit', '--no-fund', '--ignore-scripts', '--prefer-offline', tarball], work);
  const readme = readFileSync('README.md', 'utf8');
  const [, code] = /<!-- ten lines -->\s*```js\n([\s\S]*?)```/.exec(readme) ?? [];
  assert.ok(code, 'the README has its ten lines');
  writeFileSync(join(work, 'ten.js'), code);
  const printed = run(process.execPath, ['ten.js'], work);
  assert.match(printed, /draft: 3/);
  assert.match(printed, /VMwareVMware/);
  run(join(work, 'node_modules/.bin/commonhv'), ['--version'], work);
});

test('commonhv/guest makes a browser bundle of less than 6 KB compressed', async () => {
  const { outputFiles } = await build({
    stdin: { contents: "export * from 'commonhv/guest';", resolveDir: '.' },
    bundle: true,
    minify: true,
    format: 'esm',
    platform: 'browser',
    write: false,
  });
  const bytes = gzipSync(outputFiles[0]!.contents, { level: 9 }).length;
  assert.ok(bytes < 6 * 1024, `${bytes} bytes`);
});

test('every subpath export is there, with its types', () => {
  const { exports } = JSON.parse(readFileSync('package.json', 'utf8')) as { exports: Record<string, string> };
  for (const path of Object.values(exports).filter((to) => to.endsWith('.js'))) {
    assert.ok(files.includes(path.slice(2)), path);
    assert.ok(files.includes(path.slice(2).replace(/\.js$/, '.d.ts')), `${path}: types`);
  }
});
