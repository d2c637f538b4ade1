// node scripts/clones-table.js [--check]: the table of docs/clones.md, made of the rows of docs/matrix.json.
import { readFileSync, writeFileSync } from 'node:fs';
import { part } from './matrix/clones.js';
import { clonesTable } from './matrix/lib/clones.js';
import { readRows } from './matrix/lib/rows.js';

const BEGIN = '<!-- clones: made of docs/matrix.json by node scripts/clones-table.js -->';
const END = '<!-- /clones -->';
const DOCUMENT = new URL('../docs/clones.md', import.meta.url);

const rows = readRows().filter((row) => row.part === 'clones');
const text = readFileSync(DOCUMENT, 'utf8');
const [from, to] = [text.indexOf(BEGIN), text.indexOf(END)];
if (from < 0 || to < from) throw new Error('docs/clones.md: the marks of the table are not there');
const made = `${text.slice(0, from)}${BEGIN}\n\n${clonesTable(part.cells, rows)}\n${text.slice(to)}`;
if (process.argv.includes('--check')) {
  if (made !== text) console.error('docs/clones.md: the table is stale, see node scripts/clones-table.js');
  process.exitCode = made === text ? 0 : 1;
} else {
  writeFileSync(DOCUMENT, made);
}
