// node scripts/run-picture.js: docs/run.svg, the output of `commonhv run` as a picture of a terminal. Needs the built package.
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const WIDTH = 8.4; // of a character, in pixels, of a monospace font of 14 px
const HEIGHT = 20; // of a line
const MARGIN = 18;

const program = fileURLToPath(new URL('../dist/cli/bin.cjs', import.meta.url));
const output = execFileSync(process.execPath, [program, 'run'], { encoding: 'utf8' });
const lines = ['$ npm start', ...output.trimEnd().split('\n')];
const columns = Math.max(...lines.map((line) => line.length));

const escaped = (text) => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
const width = Math.ceil(columns * WIDTH + 2 * MARGIN);
const height = lines.length * HEIGHT + 2 * MARGIN;
const rows = lines.map((line, i) => {
  const style = i === 0 ? ' fill="#8b949e"' : i === 1 ? ' font-weight="bold"' : '';
  return `<text x="${MARGIN}" y="${MARGIN + (i + 0.75) * HEIGHT}"${style} xml:space="preserve">${escaped(line)}</text>`;
});

writeFileSync(
  fileURLToPath(new URL('../docs/run.svg', import.meta.url)),
  `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" role="img">
<title>The output of commonhv run</title>
<rect width="${width}" height="${height}" rx="8" fill="#0d1117"/>
<g font-family="ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace" font-size="14" fill="#e6edf3">
${rows.join('\n')}
</g>
</svg>
`,
);
