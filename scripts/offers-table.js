// node scripts/offers-table.js [--check]: README's table of hypervisors that offer CommonHV, made of docs/matrix.json.
import { readFileSync, writeFileSync } from 'node:fs';
import { readRows } from './matrix/lib/rows.js';
import { part } from './matrix/offers.js';

const BEGIN = '<!-- offers: made of docs/matrix.json by node scripts/offers-table.js -->';
const END = '<!-- /offers -->';
const README = new URL('../README.md', import.meta.url);

const rows = readRows().filter((row) => row.part === 'offers');
const lines = part.cells
  .map(({ name }) => rows.find(({ cell }) => cell === name))
  .filter((row) => row !== undefined)
  .map(({ cell, result, note, date }) => `| ${cell} | ${result === 'passed' ? note : result} | ${date} |\n`);
const table = `${BEGIN}\n\n| hypervisor | result of \`commonhv verify\` | date |\n| --- | --- | --- |\n${lines.join('')}\n${END}`;

const text = readFileSync(README, 'utf8');
const [from, to] = [text.indexOf(BEGIN), text.indexOf(END)];
if (from < 0 || to < from) throw new Error('README.md: the marks of the table are not there');
const made = text.slice(0, from) + table + text.slice(to + END.length);
if (process.argv.includes('--check')) {
  if (made !== text)
    console.error('README.md: the table of offers is stale, see node scripts/offers-table.js');
  process.exitCode = made === text ? 0 : 1;
} else {
  writeFileSync(README, made);
}
