/** A comparison of copies as one HTML page without scripts: the result, a timeline of each source, the table. */
import { attributes, escaped } from '../markup.ts';
import { type Comparison, type CopySeries, copyNumbers, type SourceResult } from './comparison.ts';
import { counted, longest, milliseconds } from './text.ts';

const WIDTH = 640;
const LANE = 6;
const STYLE = `:root { color-scheme: light dark; --alike: #c0392b; --own: #2e8b57; --line: #8886; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.4rem; } .bad { color: var(--alike); } .good { color: var(--own); }
table { border-collapse: collapse; width: 100%; } td, th { text-align: left; padding: .3rem .6rem .3rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
svg { max-width: 100%; height: auto; display: block; } .alike { fill: var(--alike); } .own { fill: var(--own); }
@media (prefers-color-scheme: dark) { :root { --alike: #ff7b6b; --own: #5fd38d; } }`;

/** The page; everything that came from a console is escaped. */
export function htmlReport(comparison: Comparison): string {
  const { copies, sources, findings, differ, result } = comparison;
  const span = longest(comparison);
  const interval = milliseconds(Math.max(...copies.map((copy) => copy.interval)));
  const shown = sources.filter(({ kind }) => kind !== 'information');
  return `<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>commonhv clones: ${escaped(result)}</title>
<style>${STYLE}</style></head>
<body>
<h1 class="${differ === true ? 'good' : 'bad'}">${escaped(result)}</h1>
<p>${copies.length} copies of one saved machine over ${milliseconds(span)}, a sample in ${interval}. Each lane is a copy:
<span class="bad">red</span> where another copy has the same value, <span class="good">green</span> where none has.</p>
${findings.map((finding) => `<p class="bad">${escaped(finding)}</p>`).join('\n')}
<table>
<thead><tr><th>source</th><th>from the first sample of each copy</th><th>seen</th></tr></thead>
<tbody>
${shown.map((source) => row(source, span)).join('\n')}
</tbody>
</table>
<p>A value that two copies share is proof that they share a state. Values that differ prove nothing about the next one.</p>
</body>
</html>
`;
}

function row(source: SourceResult, span: number): string {
  return `<tr><th scope="row">${escaped(source.name)}</th><td>${picture(source, span)}</td><td>${escaped(seen(source))}</td></tr>`;
}

function seen({ state, kind, groups, samples, milliseconds: window, series }: SourceResult): string {
  if (state === 'not compared') return state;
  if (kind === 'control')
    return `control: ${groups.some(({ length }) => length === series.length) ? 'repeats' : 'does not repeat'} in every copy`;
  if (state === 'different') return 'different from the first sample';
  const who = groups.map(copyNumbers).join('; ');
  return state === 'alike'
    ? `${who}: alike to the end`
    : `${who}: alike for ${counted(samples, 'sample')}, ${milliseconds(window)}`;
}

/** One lane for each copy, a bar for each run of pixels of one colour. */
function picture({ name, series }: SourceResult, span: number): string {
  const height = series.length * LANE;
  const bars = series.flatMap((copy, lane) =>
    runs(pixels(copy, span)).map(({ value, from, to }) => {
      const box = { x: from, y: lane * LANE, width: to - from, height: LANE - 1 };
      return `<rect class="${value}"${attributes(box)}/>`;
    }),
  );
  const label = {
    viewBox: `0 0 ${WIDTH} ${height}`,
    width: WIDTH,
    height,
    role: 'img',
    'aria-label': `timeline of ${name}`,
  };
  return `<svg${attributes(label)}>${bars.join('')}</svg>`;
}

type Pixel = 'alike' | 'own' | undefined;

/** From each sample to the next one; a pixel of several samples shows a shared one. */
function pixels({ shared, at }: CopySeries, span: number): readonly Pixel[] {
  const line = new Array<Pixel>(WIDTH).fill(undefined);
  const place = (time: number): number => Math.min(WIDTH - 1, Math.floor((time / span) * WIDTH));
  for (const [i, alike] of shared.entries()) {
    const from = place(at[i]!);
    const to = Math.max(from + 1, place(at[i + 1] ?? at[i]!));
    for (let x = from; x < to; x++) if (alike || line[x] === undefined) line[x] = alike ? 'alike' : 'own';
  }
  return line;
}

function runs(line: readonly Pixel[]): readonly { value: Pixel; from: number; to: number }[] {
  const found: { value: Pixel; from: number; to: number }[] = [];
  for (const [x, value] of line.entries()) {
    const last = found.at(-1);
    if (last !== undefined && last.value === value) last.to = x + 1;
    else found.push({ value, from: x, to: x + 1 });
  }
  return found.filter(({ value }) => value !== undefined);
}
