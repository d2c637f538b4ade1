// node scripts/offers-table.js [--check]: README's table of hypervisors that offer CommonHV, made of docs/matrix.json.
import { readRows } from './matrix/lib/rows.js';
import { part } from './matrix/offers.js';
import { putTable } from './table.js';

const rows = readRows().filter((row) => row.part === 'offers');
const lines = part.cells
  .map(({ name }) => rows.find(({ cell }) => cell === name))
  .filter((row) => row !== undefined)
  .map(({ cell, result, note, date }) => `| ${cell} | ${result === 'passed' ? note : result} | ${date} |\n`);
const table = `| hypervisor | result of \`commonhv verify\` | date |\n| --- | --- | --- |\n${lines.join('')}`;
putTable('README.md', 'offers', table, { check: process.argv.includes('--check') });
