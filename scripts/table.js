// A table of results in a document, which a script makes: the part between `<!-- NAME ... -->` and `<!-- /NAME -->`.
import { readFileSync, writeFileSync } from 'node:fs';
import { basename } from 'node:path';

/** Puts the table into the document, a path from the project's folder. With `check` a stale one gets a line and exit status 1. */
export function putTable(document, name, table, { check = false } = {}) {
  const file = new URL(`../${document}`, import.meta.url);
  const text = readFileSync(file, 'utf8');
  const begin = new RegExp(`<!-- ${name}(?:: [^>]*)? -->`).exec(text);
  const to = text.indexOf(`<!-- /${name} -->`);
  if (begin === null || to < begin.index)
    throw new Error(`${document}: the marks of the table ${name} are not there`);
  const made = `${text.slice(0, begin.index + begin[0].length)}\n\n${table.trim()}\n\n${text.slice(to)}`;
  if (!check) writeFileSync(file, made);
  else if (made !== text) {
    console.error(`${document}: the table ${name} is stale, see node scripts/${basename(process.argv[1])}`);
    process.exitCode = 1;
  }
}
