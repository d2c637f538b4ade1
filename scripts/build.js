// Builds dist/: the library by tsc, the command line bundled by esbuild so that it starts fast.
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { writeCommonjs } from './commonjs.js';
import { compile } from './compile.js';

const root = fileURLToPath(new URL('..', import.meta.url));
process.chdir(root);
compile('tsconfig.json', [['src', 'dist']]);
writeCommonjs();

/** The same for all: start-up is what a short command spends its time on, so there is little to parse and few files. */
const bundle = {
  outdir: 'dist/cli',
  bundle: true,
  format: 'esm',
  platform: 'node',
  target: 'node20',
  external: ['koffi', 'v86'],
  allowOverwrite: true,
  minifyWhitespace: true,
  minifySyntax: true,
  logLevel: 'warning',
};
/** Parts of `detect` that its shortest form does without. */
const LATER = ['read-dump', 'recorded', 'require', 'features', 'diff', 'remote'];

/** A file of the command line that has a bundle of its own stays an import. */
const apart = (/** @type {string} */ name) => ({
  name: `${name} apart`,
  setup({ onResolve }) {
    onResolve({ filter: new RegExp(`^\\./${name}\\.ts$`) }, () => ({ path: `./${name}.js`, external: true }));
  },
});
/** commander wants child_process (6 ms) for commands that are programs of their own; none of ours is. */
const noChildProcess = {
  name: 'no child processes',
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^(node:)?child_process$/ }, ({ importer }) =>
      /node_modules.commander/.test(importer) ? { path: 'none', namespace: 'empty' } : undefined,
    );
    onLoad({ filter: /.*/, namespace: 'empty' }, () => ({ contents: 'module.exports = {};' }));
  },
};
await build({
  ...bundle,
  entryPoints: ['program', 'implementation', ...LATER].map((name) => `src/cli/${name}.ts`),
  splitting: true,
  chunkNames: 'chunk-[hash]',
  plugins: [noChildProcess],
  // commander is CommonJS and asks for Node's own modules by require, which a module does not have.
  banner: {
    js: "import { createRequire as requireFrom } from 'node:module';\nconst require = requireFrom(import.meta.url);",
  },
});
// One file with `detect` in it, which runs most often and alone; for all else it imports the program. CommonJS, because
// Node starts that without its loader of modules, which costs 5 ms of an idle machine and more of a busy one.
await build({
  ...bundle,
  entryPoints: ['src/cli/bin.ts'],
  format: 'cjs',
  outExtension: { '.js': '.cjs' },
  plugins: ['program', 'implementation', ...LATER].map(apart),
  define: { 'import.meta.url': '__filename' }, // createRequire takes either
});
writeFileSync('dist/cli/bin.js', "#!/usr/bin/env node\nimport './bin.cjs';\n");
