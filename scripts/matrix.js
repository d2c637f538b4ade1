// npm run matrix [-- OPTIONS] [PART...]: runs the cells of the parts in scripts/matrix/, and keeps one row per cell in
// docs/matrix.json. See docs/matrix.md for how to add a part.
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { parseArgs } from 'node:util';
import { here, loadParts, readRows, writeRows, writeTable } from './matrix/lib/rows.js';

const USAGE = `npm run matrix [-- OPTIONS] [PART...]
Runs the cells of these parts, or of all, that have no row of this commit in docs/matrix.json yet.
  --cell TEXT   only cells whose name contains TEXT
  --again       also cells that have a row of this commit
  --quick       one cell of each part, as CI does; nothing is written
  --list        lists parts and cells, runs nothing
  --table       writes the tables that are made of the rows anew, runs nothing
Exit status: 0; 1 a cell failed; 2 wrong usage.`;
const MAX_OUTPUT = 2 ** 22;
/** Scripts that make tables of other documents. */
const TABLES = ['clones', 'copies', 'offers'];
const PROJECT = new URL('..', import.meta.url);

function fail(text) {
  console.error(`matrix: ${text}`);
  process.exit(2);
}

/** Runs a command for at most `seconds`: { status, output }; status 124 when it was ended. Its descendants end with it. */
async function execute(command, { seconds, env = {} }) {
  const [program, ...args] = command;
  const options = {
    cwd: PROJECT,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  };
  const child = spawn(program, args, options);
  running.add(child);
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk) => {
      output = (output + chunk).slice(-MAX_OUTPUT);
    });
  }
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    end(child, 'SIGTERM');
    setTimeout(() => end(child, 'SIGKILL'), 10_000).unref();
  }, seconds * 1000);
  const [status] = await Promise.race([
    once(child, 'close'),
    once(child, 'error').then(([error]) => [error.message]),
  ]);
  clearTimeout(timer);
  running.delete(child);
  return { status: late ? 124 : status, output };
}

const running = new Set();
function end(child, signal) {
  try {
    process.kill(-child.pid, signal);
  } catch {
    // It has ended.
  }
}

/** The counts of node's test runner, or the last line: the note of a row whose part has no `note`. */
function summary(output) {
  const count = (name) => [...output.matchAll(new RegExp(`^(?:#|ℹ) ${name} (\\d+)$`, 'gm'))].at(-1)?.[1];
  if (count('pass') !== undefined)
    return `${count('pass')} passed, ${count('fail')} failed, ${count('skipped')} skipped`;
  return (output.trim().split('\n').at(-1) ?? '').slice(0, 200);
}

/** A test run in which everything was skipped has passed nothing; a skipped suite is not counted at all. */
function resultOf(status, note) {
  if (status === 3 || (status === 0 && /^0 passed, 0 failed, /.test(note))) return 'skipped';
  return status === 0 ? 'passed' : 'failed';
}

/** The row of a cell, fresh. */
async function runCell(part, cell) {
  const started = performance.now();
  const seconds = cell.seconds ?? 300;
  const { status, output } = await execute(cell.command, { seconds, env: cell.env });
  const note = status === 124 ? `not done after ${seconds} s` : (part.note ?? summary)(output, cell);
  const row = {
    ...{ part: part.name, cell: cell.name, result: resultOf(status, note), note },
    ...here(),
    seconds: Math.round((performance.now() - started) / 100) / 10,
  };
  return { row, output };
}

const { values, positionals } = (() => {
  const flag = { type: 'boolean', default: false };
  const options = { cell: { type: 'string' }, again: flag, quick: flag, list: flag, table: flag, help: flag };
  try {
    return parseArgs({ options, allowPositionals: true });
  } catch (error) {
    return fail(error.message);
  }
})();
const all = await loadParts();
const unknown = positionals.find((name) => !all.some((part) => part.name === name));
if (unknown !== undefined) fail(`${unknown}: expected one of ${all.map(({ name }) => name).join(', ')}`);
const parts = all.filter(({ name }) => positionals.length === 0 || positionals.includes(name));

async function main() {
  if (values.help) return console.log(USAGE);
  if (values.table) return writeTables();
  const { commit } = here();
  const done = new Set(
    readRows()
      .filter((row) => row.commit === commit && row.result !== 'failed')
      .map((row) => `${row.part}/${row.cell}`),
  );
  for (const part of parts) {
    for (const cell of part.cells) {
      const name = `${part.name}/${cell.name}`;
      if (values.cell !== undefined && !cell.name.includes(values.cell)) continue;
      if (values.quick && cell.name !== part.quick) continue;
      if (values.list) console.log(`${name}${done.has(name) ? '  (has a row of this commit)' : ''}`);
      else if (values.quick || values.again || !done.has(name)) await runAndKeep(part, cell);
    }
  }
  if (!values.list && !values.quick) writeTables();
}

/** All tables that are made of the rows. */
function writeTables() {
  writeTable(all);
  for (const name of TABLES)
    execFileSync(process.execPath, [`scripts/${name}-table.js`], { cwd: PROJECT, stdio: 'inherit' });
}

async function runAndKeep(part, cell) {
  const { row, output } = await runCell(part, cell);
  console.log(`${row.result.padEnd(7)} ${part.name}/${cell.name}: ${row.note} (${row.seconds} s)`);
  if (row.result === 'failed') {
    console.log(output.slice(-4000).replace(/^/gm, '  | '));
    process.exitCode = 1;
  }
  // Read again: another process may have added rows.
  if (!values.quick)
    writeRows([...readRows().filter((other) => other.part !== row.part || other.cell !== row.cell), row]);
}

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
  process.on(signal, () => {
    for (const child of running) end(child, 'SIGTERM');
    process.exit(130);
  });
}
await main();
