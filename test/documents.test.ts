/** The documents: their size, their links, the commands that they name, and tables that the code has too. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';

const documents = [
  ...readdirSync('.').filter((file) => file.endsWith('.md')),
  ...['docs', 'examples', 'c']
    .filter((folder) => existsSync(folder))
    .flatMap((folder) =>
      readdirSync(folder, { recursive: true })
        .map((file) => join(folder, String(file)))
        .filter((file) => file.endsWith('.md') && !file.includes('node_modules')),
    ),
];
const read = (file: string): string => readFileSync(file, 'utf8');

/** The name that a heading has as a link's target, as GitHub makes it. */
const anchor = (heading: string): string =>
  heading
    .toLowerCase()
    .replace(/[`*]/g, '')
    .replace(/[^\w\- ]/g, '')
    .replaceAll(' ', '-');

test('the README has at most 150 lines', () => {
  assert.ok(read('README.md').split('\n').length <= 151);
});

test("the README's picture shows this version's output, but for its time: node scripts/run-picture.js", () => {
  const output = execFileSync(process.execPath, ['dist/cli/bin.cjs', 'run'], { encoding: 'utf8' });
  const escaped = output.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
  const timeless = (text: string): string => text.replace(/, [\d.]+ m?s\b/, '');
  const shown = [...read('docs/run.svg').matchAll(/preserve">(.*)<\/text>/g)].map(([, line]) => line!);
  assert.deepEqual(shown.slice(1).map(timeless), escaped.trimEnd().split('\n').map(timeless));
});

test('the import map of the page without a bundler has every import of the package', () => {
  const map = /<script type="importmap">(.*?)<\/script>/s.exec(read('examples/browser/plain.html'))![1]!;
  const { imports } = JSON.parse(map) as { imports: Record<string, string> };
  const ours = JSON.parse(read('package.json')) as { imports: Record<string, { default: string }> };
  for (const [name, { default: file }] of Object.entries(ours.imports))
    assert.equal(imports[name], file.replace('./', './node_modules/commonhv/'), name);
});

test("architecture.md's tables name every file of both engines", () => {
  const text = read('docs/architecture.md');
  const files = ['kvm', 'v86'].flatMap((engine) => readdirSync(`src/engines/${engine}`));
  const unnamed = files.filter(
    (file) => file !== 'index.ts' && !file.endsWith('.test.ts') && !text.includes(`\`${file}\``),
  );
  assert.deepEqual(unnamed, []);
});

test('no document fetches commonhv from a registry', () => {
  const fetching =
    /\b(?:npm (?:i|install|add|exec)|yarn add|pnpm add|bun add|npm create|deno add)\b[^\n#|]*\s(?:npm:)?commonhv(?:@\S+)?(?=\s|`|$)|npmjs\.com\/package\/commonhv|npx (?!--no(?:-install)? )(?:-\S+ )*commonhv|(?:unpkg\.com|jsdelivr\.net\/npm|esm\.sh)\/commonhv/gm;
  const found = [...documents, 'src/cli/program.ts'].flatMap((file) =>
    [...read(file).matchAll(fetching)].map(([text]) => `${file}: ${text}`),
  );
  assert.deepEqual(found, []);
  for (const text of [
    'npm install commonhv',
    'npm i -g commonhv@1',
    'npx commonhv detect',
    'https://esm.sh/commonhv',
  ])
    assert.match(text, new RegExp(fetching.source, 'm'), text);
});

test('every link of a document leads to a file, and to a heading that it has', () => {
  const broken: string[] = [];
  for (const file of documents) {
    const text = read(file).replace(/^```[\s\S]*?^```/gm, '');
    for (const [, to] of text.matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^[a-z]+:/.test(to!)) continue;
      // The UAPI form links to its neighbours in the set that it is written for.
      if (file === 'docs/draft3-uapi.md' && ['vmgenid.md', 'vmclock.md'].includes(to!)) continue;
      const [path, heading] = to!.split('#');
      const target = path === '' ? file : join(dirname(file), path!);
      const headings = (): readonly string[] =>
        [...read(target).matchAll(/^#+ (.*)$/gm)].map(([, h]) => anchor(h!));
      if (!existsSync(target) || (heading !== undefined && !headings().includes(heading)))
        broken.push(`${file}: ${to}`);
    }
  }
  assert.deepEqual(broken, []);
});

test('a section that a document or a source names by its title is there, once', () => {
  const sources = ['src', 'c', 'scripts', 'test', 'lab', 'bench'].flatMap((folder) =>
    readdirSync(folder, { recursive: true })
      .map((file) => join(folder, String(file)))
      .filter((file) => /\.(ts|tsx|js|c|h|sh|S)$/.test(file) && !file.includes('node_modules')),
  );
  const titles = /(?:\b([\w-]+\.md)[`)\]]*(?:'s)?|\b[Dd]raft 3),? (?:section )?"([^"\n]+)"/g;
  const named = [...documents, ...sources].flatMap((file) =>
    [...read(file).matchAll(titles)].map(([, document = 'draft3.md', title]) => ({ file, document, title })),
  );
  assert.ok(named.length >= 10);
  const wrong = named.filter(({ file, document, title }) => {
    const at = [document, join(dirname(file), document), join('docs', document)].find(existsSync);
    return (
      at === undefined ||
      read(at)
        .split('\n')
        .filter((line) => /^#+ /.test(line) && line.endsWith(`# ${title}`)).length !== 1
    );
  });
  assert.deepEqual(wrong, []);
});

test('docs/architecture.md has the table of modules that test/modules.test.ts holds', () => {
  const [, table] = /<!-- modules -->\n([\s\S]*?)\n\n/.exec(read('docs/architecture.md')) ?? [];
  assert.ok(table);
  const documented = Object.fromEntries(
    table
      .split('\n')
      .slice(2)
      .map((row) => row.split('|').map((cell) => cell.trim()))
      .map(([, name, imports]) => [name, imports === 'nothing' ? [] : imports!.split(', ')]),
  );
  const [, source] = /const MODULES[^=]*= (\{[\s\S]*?\n\});/.exec(read('test/modules.test.ts')) ?? [];
  assert.ok(source);
  const held = Object.fromEntries(
    [...source.matchAll(/^ {2}'?([\w-]+)'?: \[([\s\S]*?)\],$/gm)].map(([, name, list]) => [
      name,
      [...list!.matchAll(/'([\w-]+)'/g)].map(([, to]) => to),
    ]),
  );
  assert.deepEqual(documented, held);
});

test('every folder and file that docs/architecture.md and CONTRIBUTING.md name is there', () => {
  const missing = ['docs/architecture.md', 'CONTRIBUTING.md'].flatMap((file) =>
    [...read(file).matchAll(/`((?:src|test|scripts|c|lab|docs|bench|examples)\/[\w./-]*)`/g)]
      .filter(([, path]) => !existsSync(path!))
      .map(([, path]) => `${file}: ${path}`),
  );
  assert.deepEqual(missing, []);
});

test('a document names only commands that there are', () => {
  const commands = [...read('src/cli/program.ts').matchAll(/\bcommand\(\s*program,\s*'(\w+)'/g)].map(
    ([, name]) => name!,
  );
  assert.ok(commands.length >= 8);
  const unknown = documents
    .filter((file) => file !== 'CHANGELOG.md')
    .flatMap((file) =>
      [...read(file).matchAll(/(?:`|^|npx --no |\$ )commonhv ([a-z]+)\b/gm)].map(([, name]) => ({
        file,
        name,
      })),
    )
    .filter(({ name }) => !commands.includes(name!))
    .map(({ file, name }) => `${file}: commonhv ${name}`);
  assert.deepEqual(unknown, []);
});
