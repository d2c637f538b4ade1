/** The lab's build: static files that work from any path, and nothing in them that a strict policy refuses. */
import { readFileSync } from 'node:fs';
import { insertHooks } from 'commonhv/engines/v86';
import { Marked } from 'marked';
import { defineConfig, type Plugin } from 'vite';
import { sentenceId } from './model/sentence.ts';

/** The folder of `scripts/build-lab.js --linux`: kernel, initrd and a text on both. */
const LINUX_FOLDER = process.env.COMMONHV_LAB_LINUX;
const LINUX = LINUX_FOLDER && {
  title: readFileSync(`${LINUX_FOLDER}/title`, 'utf8').trim(),
  kernel: './linux-kernel',
  initrd: './linux-initrd',
  notes: './linux.txt',
};

export default defineConfig({
  base: './',
  plugins: [draft3(), linux(), v86(), preloads()],
  define: { __LINUX__: JSON.stringify(LINUX) ?? 'undefined' },
  build: {
    target: 'es2022',
    outDir: '../dist/lab',
    emptyOutDir: true,
    assetsInlineLimit: 0, // a data: address would be one more thing to allow
    modulePreload: { polyfill: false },
    // Own code and libraries in separate files: libraries change less often.
    rolldownOptions: {
      output: {
        codeSplitting: {
          groups: [
            { name: 'xterm', test: /node_modules\/@xterm\//, priority: 2 },
            { name: 'uplot', test: /node_modules\/uplot\//, priority: 2 },
            { name: 'libraries', test: /node_modules\//, priority: 1 },
            // One file of all that starts the first worker, and one of all that tells it the settings.
            {
              name: 'first',
              test: /lab\/early\.ts|state\/remote\.ts|vite\/preload-helper|virtual:v86/,
            },
            { name: 'state', test: /lab\/(state|model)\// },
          ],
        },
      },
    },
  },
  worker: {
    format: 'es',
    // v86 in the worker's own file: it is wanted at once.
    rolldownOptions: {
      output: {
        codeSplitting: { groups: [{ name: 'worker', test: /worker\/worker\.ts|node_modules\/v86\// }] },
      },
    },
  },
});

/** What the first machine waits for is asked for at once: v86's module, and the state's code, which `early.ts` imports. */
function preloads(): Plugin {
  return {
    name: 'preloads',
    transformIndexHtml: {
      order: 'post',
      handler(html, { bundle = {} }) {
        const chunks = Object.values(bundle).filter((each) => each.type === 'chunk');
        const state = chunks.find(({ moduleIds }) =>
          moduleIds.some((id) => id.endsWith('/state/address.ts')),
        );
        const module = Object.keys(bundle).find((name) => /v86-[^/]*\.wasm$/.test(name));
        if (state === undefined || module === undefined) throw new Error('the build has no state or no v86');
        const code = [state.fileName, ...state.imports].filter((name) => !html.includes(name));
        const link = (name: string, attrs: Readonly<Record<string, string>>) => ({
          tag: 'link',
          attrs: { ...attrs, crossorigin: true, href: `./${name}` },
          injectTo: 'head' as const,
        });
        const tags = [
          link(module, { rel: 'preload', as: 'fetch' }),
          ...code.map((name) => link(name, { rel: 'modulepreload' })),
        ];
        // An asynchronous script is of low priority otherwise, and all else waits for this one.
        return { html: html.replace('<script async', '<script async fetchpriority="high"'), tags };
      },
    },
  };
}

/** v86's module with the hooks in it already, so that the page can compile it while it arrives. */
function v86(): Plugin {
  const id = 'virtual:v86';
  return {
    name: 'v86',
    resolveId: (asked) => (asked === id ? `\0${id}` : undefined),
    load(asked) {
      if (asked !== `\0${id}`) return undefined;
      const source = insertHooks(
        new Uint8Array(readFileSync(new URL('../node_modules/v86/build/v86.wasm', import.meta.url))),
      );
      const file = this.emitFile({ type: 'asset', name: 'v86.wasm', source });
      return `export default import.meta.ROLLUP_FILE_URL_${file};`;
    },
  };
}

/** The small Linux as files beside the page. */
function linux(): Plugin {
  return {
    name: 'linux',
    generateBundle() {
      if (LINUX_FOLDER === undefined) return;
      for (const fileName of ['linux-kernel', 'linux-initrd', 'linux.txt'])
        this.emitFile({ type: 'asset', fileName, source: readFileSync(`${LINUX_FOLDER}/${fileName}`) });
    },
  };
}

/** Draft 3 as a page beside the lab, in which every binding sentence has a name to link to. */
function draft3(): Plugin {
  return {
    name: 'draft3',
    generateBundle(_, bundle) {
      const markdown = readFileSync(new URL('../docs/draft3.md', import.meta.url), 'utf8');
      const style = Object.keys(bundle).find((name) => /index-.*\.css$/.test(name));
      const icon = Object.keys(bundle).find((name) => /icon-.*\.svg$/.test(name));
      if (style === undefined || icon === undefined)
        throw new Error('the build has nothing to dress draft 3 in');
      const policy = /http-equiv="Content-Security-Policy"\s+content="([^"]+)"/.exec(
        readFileSync(new URL('index.html', import.meta.url), 'utf8'),
      );
      if (policy === null) throw new Error('index.html has no Content-Security-Policy');
      this.emitFile({
        type: 'asset',
        fileName: 'draft3.html',
        source: pageOf(html(markdown), { style, icon, policy: policy[1]! }),
      });
    },
  };
}

function html(markdown: string): string {
  const marked = new Marked({
    renderer: {
      heading({ tokens, depth, text }) {
        return `<h${depth} id="${sentenceId(text)}">${this.parser.parseInline(tokens)}</h${depth}>\n`;
      },
      listitem({ tokens, text, task }) {
        const inner = this.parser.parse(tokens);
        return !task && /MUST|SHOULD/.test(text)
          ? `<li id="${sentenceId(text)}">${inner}</li>\n`
          : `<li>${inner}</li>\n`;
      },
      table(token) {
        const row = (
          cells: readonly { tokens: (typeof token.header)[number]['tokens'] }[],
          tag: 'th' | 'td',
        ) =>
          `<tr>${cells.map(({ tokens }) => `<${tag}>${this.parser.parseInline(tokens)}</${tag}>`).join('')}</tr>`;
        const titled = token.header.some(({ text }) => text.trim() !== '');
        const head = titled ? `<thead>${row(token.header, 'th')}</thead>` : '';
        const body = token.rows.map((cells) => row(cells, 'td')).join('');
        return `<div class="wide" tabindex="0"><table>${head}<tbody>${body}</tbody></table></div>\n`;
      },
    },
  });
  return marked.parse(markdown, { async: false });
}

function pageOf(body: string, { style, icon, policy }: Record<'style' | 'icon' | 'policy', string>): string {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>CommonHV, draft 3</title>
<link rel="icon" href="./${icon}" type="image/svg+xml">
<link rel="stylesheet" href="./${style}">
</head>
<body>
<main class="document">
<p><a href="./">The lab</a></p>
${body}
</main>
</body>
</html>
`;
}
