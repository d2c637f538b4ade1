/** The matrix: every row has a cell that makes it, the document shows the rows, and the runner keeps its promises. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';

interface Part {
  readonly name: string;
  readonly cells: readonly { readonly name: string }[];
}
interface Rows {
  loadParts(): Promise<Part[]>;
  contradictions(parts: Part[]): string[];
  renderDocument(parts: Part[], rows: unknown[], text: string): string;
}
const lib = (await import(new URL('../../scripts/matrix/lib/rows.js', import.meta.url).href)) as Rows;

test('every row of docs/matrix.json has a cell, and the tables of docs/matrix.md are made from the rows', async () => {
  assert.deepEqual(lib.contradictions(await lib.loadParts()), []);
});

test('the document has a line for each row, in the order of the cells', () => {
  const part = { name: 'p', title: 't', cells: [{ name: 'a' }, { name: 'b' }, { name: 'c' }] };
  const row = { part: 'p', result: 'passed', note: 'x|y', date: 'd', commit: 'c', seconds: 1, machine: 'm' };
  const text = 'Intro\n<!-- rows: made of matrix.json by npm run matrix -- --table -->\nold';
  const rows = ['c', 'a'].map((cell) => ({ ...row, cell }));
  assert.deepEqual(lib.renderDocument([part], rows, text).split('\n').slice(-3), [
    '| a | passed | x\\|y | d | c | 1 s | m |',
    '| c | passed | x\\|y | d | c | 1 s | m |',
    '',
  ]);
});

test('an unknown part or option exits with status 2', () => {
  for (const args of [['nothing'], ['--nothing']]) {
    const { status, stderr } = spawnSync(process.execPath, ['scripts/matrix.js', ...args], {
      encoding: 'utf8',
    });
    assert.equal(status, 2);
    assert.match(stderr, /^matrix: .*nothing/);
  }
});
