/** The v86 engine as a browser's bundle has it: nothing of Node in it, and v86.wasm asked for by address. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { insertHooks, preload, v86 } from 'commonhv/engines/v86';
import { build } from 'esbuild';

test('bundled for a browser, the engine holds no import of Node’s and says what it needs', async () => {
  const { outputFiles, metafile } = await build({
    stdin: {
      contents: `import { v86 } from 'commonhv/engines/v86';
        export const refusal = v86().hostCpu().catch((error) => error.message);`,
      resolveDir: '.',
    },
    bundle: true,
    format: 'esm',
    platform: 'browser',
    external: ['v86'],
    write: false,
    metafile: true,
  });
  const outside = Object.values(metafile.outputs).flatMap(({ imports }) => imports.map(({ path }) => path));
  assert.deepEqual(outside, ['v86']);
  assert.ok(Object.keys(metafile.inputs).some((file) => file.endsWith('module-web.js')));
  const code = Buffer.from(outputFiles[0]!.contents).toString('base64');
  const bundle = (await import(`data:text/javascript;base64,${code}`)) as { refusal: Promise<string> };
  assert.equal(await bundle.refusal, 'v86: in a browser, pass the address of v86.wasm as the option wasm');
});

test('a module that was compiled with the hooks is taken as it is; one without them is refused', async () => {
  const bytes = new Uint8Array(readFileSync('node_modules/v86/build/v86.wasm'));
  const hooked = insertHooks(bytes);
  assert.equal(insertHooks(hooked), hooked);
  const wasm = await WebAssembly.compile(hooked);
  await preload({ wasm });
  const { ebx } = await (await v86({ wasm }).hostCpu()).cpuid(0x4000_0000, 0);
  assert.equal(ebx, 0x6177_4d56);
  await assert.rejects(
    preload({ wasm: await WebAssembly.compile(bytes) }),
    /^MachineError: the v86 module that was given .*compiled without the hooks of insertHooks/,
  );
});
