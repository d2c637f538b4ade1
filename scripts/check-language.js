// node scripts/check-language.js [--list]: holds the project's prose to the field's terms.
//
// Two rules. The word "what" stands below 2 times in 1,000 words of comments in src, lab and the C parts. The terms of
// language/terms.js stand in no comment, no help text and no document, save where language/allowed.json says why.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { markdown, split } from './language/prose.js';
import { TERMS } from './language/terms.js';

const MAX_WHAT = 2;
const CODE = [
  ['src', /\.ts$/],
  ['lab', /\.tsx?$/],
  ['c', /\.[ch]$/],
];
const DOCUMENTS = ['docs', 'examples', 'c'].map((folder) => [folder, /\.md$/]);

const allowed = JSON.parse(readFileSync('scripts/language/allowed.json', 'utf8'));
/** The files of folders, each with a pattern of names; folders that are not there count as empty. */
function files(folders) {
  return folders
    .filter(([folder]) => existsSync(folder))
    .flatMap(([folder, pattern]) =>
      readdirSync(folder, { recursive: true })
        .map((name) => join(folder, String(name)))
        .filter((name) => pattern.test(name) && !/node_modules|^docs\/reference\//.test(name)),
    )
    .sort();
}

const found = [];
const used = new Set();
function hold(file, pieces) {
  for (const { line, text } of pieces) {
    for (const [pattern, instead] of TERMS) {
      const [term] = pattern.exec(text) ?? [];
      if (term === undefined) continue;
      const reason = allowed.findIndex((entry) => entry.file === file && entry.term === term.toLowerCase());
      if (reason >= 0) used.add(reason);
      else found.push(`${file}:${line}: "${term}": write ${instead}`);
    }
  }
}

let words = 0;
let whats = 0;
for (const file of files(CODE)) {
  const { comments, strings } = split(readFileSync(file, 'utf8'));
  hold(file, comments);
  if (/^src\/cli\/(?!.*\.test\.)/.test(file)) hold(file, strings);
  for (const { text } of comments) {
    words += text.match(/[A-Za-z]+/g)?.length ?? 0;
    whats += text.match(/\bwhat\b/gi)?.length ?? 0;
  }
}
for (const file of [...readdirSync('.').filter((name) => name.endsWith('.md')), ...files(DOCUMENTS)])
  hold(file, markdown(readFileSync(file, 'utf8')));

const problems = [];
const rate = (1000 * whats) / words;
if (rate >= MAX_WHAT)
  problems.push(`"what": ${rate.toFixed(1)} in 1,000 words of comments, expected below ${MAX_WHAT}`);
if (found.length > 0) problems.push(`${found.length} terms that this project does not use`);
allowed.forEach(({ file, term }, i) => {
  if (!used.has(i)) problems.push(`language/allowed.json: ${file} no longer has "${term}"`);
});

if (problems.length > 0 || process.argv.includes('--list')) for (const line of found) console.error(line);
for (const problem of problems) console.error(`check-language: ${problem}`);
console.log(
  `check-language: ${rate.toFixed(1)} "what" in 1,000 of ${words} words of comments; ${found.length} terms to replace`,
);
process.exit(problems.length > 0 ? 1 : 0);
