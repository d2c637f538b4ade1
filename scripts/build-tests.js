// Compiles test/ and bench/ into build/; they use the package by its own name, as an outsider would. Where there is a C compiler,
// the library of `commonhv preload` too: the KVM bed has none.
import { execFileSync, spawnSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

process.chdir(fileURLToPath(new URL('..', import.meta.url)));
for (const dir of ['build/test', 'build/bench']) rmSync(dir, { recursive: true, force: true });
execFileSync(process.execPath, ['node_modules/typescript/bin/tsc', '-p', 'tsconfig.test.json'], {
  stdio: 'inherit',
});
spawnSync('make', ['-s', '-C', 'c/preload'], { stdio: ['ignore', 'ignore', 'ignore'] });
