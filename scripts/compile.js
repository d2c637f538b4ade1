// tsc, which compiles again only what changed since its last run, and leaves no output of a source that is gone.
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, rmSync, statSync } from 'node:fs';
import { basename, join, sep } from 'node:path';

const filesIn = (folder) =>
  existsSync(folder)
    ? readdirSync(folder, { recursive: true })
        .map(String)
        .filter((name) => statSync(join(folder, name)).isFile())
    : [];

/** Compiles a project of tsc's in the current folder. `folders` are its sources and their outputs; dist/lab is Vite's. */
export function compile(project, folders) {
  const state = join('build', `${basename(project, '.json')}.tsbuildinfo`);
  for (const [sources, output] of folders) {
    const wanted = new Set(
      filesIn(sources)
        .filter((name) => name.endsWith('.ts'))
        .map((name) => name.slice(0, -3)),
    );
    const made = new Set();
    for (const name of filesIn(output)) {
      const module = name.replace(/\.(d\.ts|js)$/, '');
      if (name.startsWith(`lab${sep}`)) continue;
      if (!wanted.has(module)) rmSync(join(output, name));
      else if (name.endsWith('.js')) made.add(module);
    }
    if (made.size < wanted.size) rmSync(state, { force: true });
  }
  const words = [
    'node_modules/typescript/bin/tsc',
    '-p',
    project,
    '--incremental',
    '--tsBuildInfoFile',
    state,
  ];
  execFileSync(process.execPath, words, { stdio: 'inherit' });
}
