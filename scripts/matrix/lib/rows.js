// The parts of the matrix, its rows in docs/matrix.json, and the table that docs/matrix.md shows of them.
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { cpus, release } from 'node:os';

const file = (path) => new URL(`../../../${path}`, import.meta.url);
const ROWS = file('docs/matrix.json');
const DOCUMENT = file('docs/matrix.md');
const BEGIN = '<!-- rows: made of matrix.json by npm run matrix -- --table -->';

/** Every part of scripts/matrix/, by name: { name, title, quick, cells, note }. A part that contradicts itself throws. */
export async function loadParts() {
  const names = readdirSync(file('scripts/matrix'))
    .filter((name) => name.endsWith('.js'))
    .sort();
  return Promise.all(
    names.map(async (name) => {
      const { part } = await import(file(`scripts/matrix/${name}`));
      const cells = part.cells.map(({ name }) => name);
      if (new Set(cells).size !== cells.length) throw new Error(`${name}: two cells have the same name`);
      if (!cells.includes(part.quick)) throw new Error(`${name}: quick names no cell: ${part.quick}`);
      if (part.cells.some(({ command }) => !Array.isArray(command)))
        throw new Error(`${name}: a cell has no command`);
      return { ...part, name: name.slice(0, -3) };
    }),
  );
}

/** Date, commit and machine of a row that is made now. A commit with changes on top ends with "+". */
export function here() {
  const git = (...args) => spawnSync('git', args, { cwd: file(''), encoding: 'utf8' }).stdout?.trim() ?? '';
  const changed =
    git('status', '--porcelain', '--untracked-files=no', ':!docs/matrix.json', ':!docs/matrix.md') !== '';
  return {
    date: new Date().toISOString().slice(0, 10),
    commit: `${git('rev-parse', '--short=8', 'HEAD') || 'unknown'}${changed ? '+' : ''}`,
    machine: `${cpus()[0]?.model.trim() ?? 'unknown'}, ${cpus().length} CPUs, Linux ${release().split('-')[0]}, Node ${process.versions.node}`,
  };
}

/** Rows are { part, cell, result, note, date, commit, machine, seconds }; result is passed, failed or skipped. */
export const readRows = () => (existsSync(ROWS) ? JSON.parse(readFileSync(ROWS, 'utf8')) : []);

/** One row a line, sorted: branches that add rows merge. */
export function writeRows(rows) {
  const key = ({ part, cell }) => `${part}/${cell}`;
  const sorted = [...rows].sort((a, b) => (key(a) < key(b) ? -1 : 1));
  writeFileSync(
    new URL(`${ROWS.href}.new`),
    `[\n${sorted.map((row) => JSON.stringify(row)).join(',\n')}\n]\n`,
  );
  renameSync(new URL(`${ROWS.href}.new`), ROWS);
}

/** The document with its tables anew: one a part, one line a row. */
export function renderDocument(parts, rows, text) {
  const escaped = (value) => String(value).replaceAll('|', '\\|').replaceAll('<', '&lt;');
  const tables = parts.map((part) => {
    const lines = part.cells
      .map((cell) => rows.find((row) => row.part === part.name && row.cell === cell.name))
      .filter((row) => row !== undefined)
      .map((row) => [row.cell, row.result, row.note, row.date, row.commit, `${row.seconds} s`, row.machine])
      .map((columns) => `| ${columns.map(escaped).join(' | ')} |\n`);
    const head =
      '| cell | result | note | date | commit | time | machine |\n| --- | --- | --- | --- | --- | --- | --- |';
    return `### ${part.name}: ${part.title}\n\n${lines.length > 0 ? `${head}\n${lines.join('')}` : 'No row yet.\n'}`;
  });
  return `${text.slice(0, text.indexOf(BEGIN))}${BEGIN}\n\n${tables.join('\n')}`;
}

export function writeTable(parts) {
  writeFileSync(DOCUMENT, renderDocument(parts, readRows(), readFileSync(DOCUMENT, 'utf8')));
}

/** The rows and the document that contradict the parts, one line each: empty when all is well. */
export function contradictions(parts) {
  const rows = readRows();
  const orphans = rows
    .filter(
      (row) =>
        !parts.some(({ name, cells }) => name === row.part && cells.some((cell) => cell.name === row.cell)),
    )
    .map((row) => `docs/matrix.json: no cell makes the row ${row.part}/${row.cell}`);
  const text = readFileSync(DOCUMENT, 'utf8');
  const stale =
    renderDocument(parts, rows, text) === text
      ? []
      : ['docs/matrix.md: stale, see npm run matrix -- --table'];
  return [...orphans, ...stale];
}
