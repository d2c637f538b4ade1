// What a row of the part `clones` says, from the JSON of `commonhv clones`, and the table of docs/clones.md made of the rows.

const SOURCES = { getrandom: 'kernel', follow: 'process that follows', once: 'process seeded once' };

const time = (milliseconds) =>
  milliseconds < 10_000 ? `${milliseconds} ms` : `${(milliseconds / 1000).toFixed(0)} s`;

function span({ state, milliseconds }) {
  if (state === 'not compared') return state;
  if (state === 'different') return 'not seen alike';
  return state === 'alike' ? `alike to the end, ${time(milliseconds)}` : `alike for ${time(milliseconds)}`;
}

/** "kernel: alike for 8 ms; process that follows: ...; process seeded once: ...; a sample each 12 ms". */
export function describeSources({ sources, copies }) {
  const parts = Object.entries(SOURCES).map(([name, title]) => {
    const source = sources.find((one) => one.name === name);
    return `${title}: ${source === undefined ? 'has nothing to follow' : span(source)}`;
  });
  const each = Math.max(...copies.map(({ interval }) => interval));
  return [...parts, `a sample each ${time(each)}`].join('; ');
}

/**
 * For how long the slowest copy shared values with another, by the sources' names: "to the end" or "12 ms"; null where there is no
 * such source, or it was not compared. `step`: milliseconds of a sample.
 */
export function alikeTimes({ sources, copies }, names) {
  const alike = names.map((name) => {
    const source = sources.find((one) => one.name === name);
    if (source === undefined || source.state === 'not compared') return [name, null];
    return [name, source.state === 'alike' ? 'to the end' : `${Math.round(source.milliseconds)} ms`];
  });
  const step = Math.round(copies[0].milliseconds / Math.max(1, copies[0].samples - 1));
  return { ...Object.fromEntries(alike), step };
}

/** The table's rows: one for each cell that has a row whose note is in this form. */
export function clonesTable(cells, rows) {
  const titles = [...Object.values(SOURCES), 'a sample each'];
  const lines = cells.flatMap(({ name }) => {
    const row = rows.find(({ cell }) => cell === name);
    const columns = row?.note.split('; ').map((part) => part.replace(/^(a sample each|[^:]*:) /, '')) ?? [];
    return columns.length === titles.length ? [`| ${[name, ...columns, row.date].join(' | ')} |\n`] : [];
  });
  const head = ['copies of a stock Debian 12 guest', ...titles, 'date'];
  return `| ${head.join(' | ')} |\n|${' --- |'.repeat(head.length)}\n${lines.join('')}`;
}
