// The bed's second disk: the built project, with the node_modules that run and the cached guests.
import { cpSync, existsSync, linkSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { basename, dirname, join, relative } from 'node:path';
import { makeDisk, root } from './image.js';

/** Not copied: nothing that runs in the bed uses it. */
const TOP = new Set(['.git', '.cache', 'node_modules']);
/** Big tools of development that do not run there. */
const TOOLS = new Set([
  ...[
    '.cache',
    '.bin',
    'typescript',
    '@biomejs',
    'esbuild',
    '@esbuild',
    'vite',
    'rolldown',
    '@rolldown',
    'typedoc',
  ],
  ...[
    '@shikijs',
    'shiki',
    'playwright-core',
    '@arethetypeswrong',
    'lightningcss',
    'lightningcss-linux-x64-gnu',
  ],
  ...[
    '@xterm',
    'axe-core',
    'uplot',
    'preact',
    '@preact',
    'publint',
    'xmllint-wasm',
    '@types',
    '@oxc-project',
  ],
]);
/** Guests that scripts/debian-*.sh made, the agent, and programs of benchmarks: in the bed there is no apt and no compiler. */
const GUESTS = ['debian', 'debian-amd64', 'agent', 'bench'];

/** A tree of hard links, or of copies where the file systems differ. */
function linkTree(from, to, wanted = () => true) {
  mkdirSync(to, { recursive: true });
  for (const entry of readdirSync(from, { withFileTypes: true })) {
    if (!wanted(entry.name)) continue;
    const source = join(from, entry.name);
    const target = join(to, entry.name);
    if (entry.isDirectory()) linkTree(source, target);
    else if (entry.isFile()) {
      try {
        linkSync(source, target);
      } catch {
        cpSync(source, target);
      }
    } else if (entry.isSymbolicLink()) cpSync(source, target, { verbatimSymlinks: true });
  }
}

/** Makes the disk `file`, below the folder `work`. `added` are [file, path in the project]. */
export function makeProject(file, work, added) {
  const stage = join(work, 'project');
  linkTree(root, stage, (name) => !TOP.has(name));
  linkTree(join(root, 'node_modules'), join(stage, 'node_modules'), (name) => !TOOLS.has(name));
  for (const guest of GUESTS) {
    const from = join(root, '.cache', guest);
    if (existsSync(from)) linkTree(from, join(stage, '.cache', guest), (name) => name !== 'lock');
  }
  for (const [from, to] of added) {
    const target = join(stage, to === '' ? basename(from) : to);
    if (relative(stage, target).startsWith('..'))
      throw new Error(`--add ${from}=${to}: outside of the project`);
    mkdirSync(dirname(target), { recursive: true });
    rmSync(target, { force: true });
    cpSync(from, target, { recursive: true });
  }
  makeDisk(file, stage, '2G');
  rmSync(stage, { recursive: true });
}
