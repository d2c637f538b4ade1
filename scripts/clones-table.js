// node scripts/clones-table.js [--check]: the table of docs/clones.md, made of the rows of docs/matrix.json.
import { part } from './matrix/clones.js';
import { clonesTable } from './matrix/lib/clones.js';
import { readRows } from './matrix/lib/rows.js';
import { putTable } from './table.js';

const rows = readRows().filter((row) => row.part === 'clones');
putTable('docs/clones.md', 'clones', clonesTable(part.cells, rows), {
  check: process.argv.includes('--check'),
});
