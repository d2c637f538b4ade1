// Compiles test/ and bench/ into build/; they use the package by its own name, as an outsider would. Where there is a C compiler,
// the library of `commonhv preload` too: the KVM bed has none.
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { compile } from './compile.js';

process.chdir(fileURLToPath(new URL('..', import.meta.url)));
compile('tsconfig.test.json', [
  ['test', 'build/test'],
  ['bench', 'build/bench'],
]);
spawnSync('make', ['-s', '-C', 'c/preload'], { stdio: ['ignore', 'ignore', 'ignore'] });
