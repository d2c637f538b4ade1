/** The package as others get it: what is in it, and an outside project that uses it. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join, resolve } from 'node:path';
import { after, before, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { build } from 'esbuild';
import ts from 'typescript';

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
  // Exits 1 where it finds something. A worker thread is started from its file, and never required.
  run(
    'npx',
    ['attw', '--format', 'ascii', '--exclude-entrypoints', 'engines/kvm/worker', '--', tarball],
    '.',
  );
});

test("an outside project, installed from the tarball, runs the README's ten lines", () => {
  writeFileSync(join(work, 'package.json'), '{ "name": "outside", "private": true, "type": "module" }');
  // Its dependencies are there already: without a network npm's cache knows no more than the lock file of `npm ci`.
  for (const name of ['@koromix', '@noble/hashes', 'koffi', 'v86'])
    cpSync(join('node_modules', name), join(work, 'node_modules', name), { recursive: true });
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

/** By subpath: the file of a module, the file of CommonJS where there is one. */
const entries = Object.entries(
  (JSON.parse(readFileSync('package.json', 'utf8')) as { exports: Record<string, string | Entry> }).exports,
).map(([name, to]) => ({ name, ...(typeof to === 'string' ? { default: to, require: undefined } : to) }));
interface Entry {
  readonly require: string | undefined;
  readonly default: string;
}

test('every subpath export is there for modules and for CommonJS, with its types', () => {
  assert.ok(entries.length > 15);
  for (const { name, default: module, require } of entries) {
    if (name === './package.json') continue;
    const expected = [module, module.replace(/\.js$/, '.d.ts')];
    if (name !== './engines/kvm/worker') expected.push(require!, module.replace(/\.js$/, '.d.cts'));
    for (const path of expected) assert.ok(files.includes(path.slice(2)), `${name}: ${path}`);
  }
});

test('CommonJS: every entry compiles under the older resolutions too, and is the module itself', () => {
  const folder = join(work, 'commonjs');
  mkdirSync(folder);
  writeFileSync(join(folder, 'package.json'), '{ "type": "commonjs" }');
  const names = entries
    .filter(({ require }) => require !== undefined)
    .map(({ name }) => name.replace(/^\./, 'commonhv'));
  const use = [
    ...names.map((name, i) => `import * as m${i} from '${name}';`),
    "import guest = require('commonhv/guest');",
    "import { type Cpu, MachineError } from 'commonhv';",
    "import { model } from 'commonhv/engines/model';",
    "import { commonhv } from 'commonhv/hypervisor';",
    'async function main() {',
    '  const cpu: Cpu = model(commonhv({}));',
    '  const { commonhv: found } = await guest.detect(cpu);',
    "  const same = new MachineError('x') instanceof (await import('commonhv')).MachineError;",
    `  console.log(found?.draft, same, [${names.map((_, i) => `m${i}`).join(', ')}].length);`,
    '}',
    'main();',
  ];
  writeFileSync(join(folder, 'use.cts'), use.join('\n'));
  // A name or a type that is not there must be an error: types that are `any` would pass everything.
  writeFileSync(
    join(folder, 'wrong.cts'),
    "import { nothing } from 'commonhv/guest';\nexport const n = nothing;",
  );
  for (const [kind, { errors, emit }] of compiled(folder, ['use.cts', 'wrong.cts'])) {
    assert.deepEqual(
      errors,
      ["wrong.cts: Module '\"commonhv/guest\"' has no exported member 'nothing'."],
      kind,
    );
    emit();
    assert.match(run(process.execPath, ['use.cjs'], folder), new RegExp(`^3 true ${names.length}\\n$`), kind);
  }
});

/** A program of TypeScript for each resolution, with the errors in its own files and in the package's declarations. */
function* compiled(folder: string, roots: readonly string[]) {
  const { Node10, Node16 } = ts.ModuleResolutionKind;
  for (const moduleResolution of [Node16, Node10]) {
    const program = ts.createProgram(
      roots.map((name) => join(folder, name)),
      {
        ...{
          moduleResolution,
          module: moduleResolution === Node16 ? ts.ModuleKind.Node16 : ts.ModuleKind.CommonJS,
        },
        ...{
          ignoreDeprecations: '6.0',
          strict: true,
          target: ts.ScriptTarget.ES2022,
          lib: ['lib.es2023.d.ts', 'lib.dom.d.ts'],
        },
        ...{ types: ['node'], typeRoots: [resolve('node_modules/@types')] },
      },
    );
    // Not those of TypeScript and Node: checking them takes most of a compiler's time.
    const ours = program
      .getSourceFiles()
      .filter(({ fileName }) => fileName.startsWith(folder) || fileName.includes('/commonhv/dist/'));
    assert.ok(ours.some(({ fileName }) => fileName.endsWith('commonhv/dist/engines/kvm/index.d.cts')));
    const errors = [
      program.getOptionsDiagnostics(),
      ...ours.map((file) => program.getSemanticDiagnostics(file)),
    ]
      .flat()
      .map(
        ({ file, messageText }) =>
          `${basename(file?.fileName ?? '')}: ${ts.flattenDiagnosticMessageText(messageText, ' ')}`,
      );
    yield [ts.ModuleResolutionKind[moduleResolution], { errors, emit: () => program.emit() }] as const;
  }
}
