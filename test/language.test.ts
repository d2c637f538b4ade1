/** scripts/check-language.js, on a small tree: it finds a term, counts "what", honours the allow-list, and refuses an entry that is not needed. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { test } from 'node:test';

interface Tree {
  readonly files: Readonly<Record<string, string>>;
  readonly allowed?: readonly { file: string; term: string; reason: string }[];
}

function check({ files, allowed = [] }: Tree): { status: number | null; errors: string } {
  const root = mkdtempSync(join(tmpdir(), 'commonhv-language-'));
  try {
    mkdirSync(join(root, 'scripts/language'), { recursive: true });
    mkdirSync(join(root, 'src/cli'), { recursive: true });
    mkdirSync(join(root, 'lab'));
    writeFileSync(join(root, 'scripts/language/allowed.json'), JSON.stringify(allowed));
    const filler = `// ${'word '.repeat(600)}\n`;
    for (const [name, text] of Object.entries({ 'lab/filler.ts': filler, ...files }))
      writeFileSync(join(root, name), text);
    const { status, stderr } = spawnSync(process.execPath, [resolve('scripts/check-language.js')], {
      cwd: root,
      encoding: 'utf8',
      timeout: 30_000,
    });
    return { status, errors: stderr };
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
}

test('a plain tree passes', () => {
  assert.deepEqual(check({ files: { 'src/a.ts': '/** Returns a value. */\n' } }), { status: 0, errors: '' });
});

test('a term is found in a comment, in a document and in help, with its place and the word to write', () => {
  const files = {
    'src/a.ts': '\n// one liar\n',
    'README.md': 'A verdict.\n',
    'src/cli/a.ts': "const help = 'the old search';\n",
  };
  const { status, errors } = check({ files });
  assert.equal(status, 1);
  assert.match(errors, /^src\/a\.ts:2: "liar": write faulty hypervisor$/m);
  assert.match(errors, /^README\.md:1: "verdict": write result$/m);
  assert.match(errors, /^src\/cli\/a\.ts:1: "old search": write the 0x40000000 scan$/m);
});

test('code, strings outside the command line, inline code and fenced code are not prose', () => {
  const files = {
    'src/a.ts': "const liar = 'a liar // judge';\n// calls `judge`\n",
    'README.md': '`commonhv snapshot`\n\n```\na liar\n```\n',
  };
  assert.equal(check({ files }).status, 0);
});

test('"what" is counted in comments: two in some 600 words are too many', () => {
  const { status, errors } = check({ files: { 'src/a.ts': '// What it does, and what not.\n' } });
  assert.equal(status, 1);
  assert.match(errors, /"what": 3\.\d in 1,000 words of comments, expected below 2/);
});

test('an entry of the allow-list lets one term of one file pass, and is refused where nothing needs it', () => {
  const entry = { file: 'src/a.ts', term: 'liar', reason: 'a quotation' };
  assert.equal(check({ files: { 'src/a.ts': '// a liar\n' }, allowed: [entry] }).status, 0);
  const { status, errors } = check({ files: { 'src/a.ts': '// nothing\n' }, allowed: [entry] });
  assert.equal(status, 1);
  assert.match(errors, /allowed\.json: src\/a\.ts no longer has "liar"/);
});
