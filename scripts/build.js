// Builds dist/: the library by tsc, the command line bundled by esbuild so that it starts fast.
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const root = fileURLToPath(new URL('..', import.meta.url));
process.chdir(root);
// dist/lab is Vite's (npm run build:lab) and outlives this build.
for (const name of existsSync('dist') ? readdirSync('dist') : []) {
  if (name !== 'lab') rmSync(`dist/${name}`, { recursive: true, force: true });
}
execFileSync(process.execPath, ['node_modules/typescript/bin/tsc', '-p', 'tsconfig.json'], {
  stdio: 'inherit',
});
if (existsSync('src/cli/bin.ts')) {
  await build({
    entryPoints: ['src/cli/bin.ts'],
    outdir: 'dist/cli',
    bundle: true,
    splitting: true,
    chunkNames: 'chunk-[hash]',
    format: 'esm',
    platform: 'node',
    target: 'node20',
    external: ['koffi', 'v86'],
    allowOverwrite: true,
    // commander is CommonJS and asks for Node's own modules by require, which a module does not have.
    banner: {
      js: "import { createRequire as requireFrom } from 'node:module';\nconst require = requireFrom(import.meta.url);",
    },
    logLevel: 'warning',
  });
}
