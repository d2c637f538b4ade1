/** The v86 engine as a browser's bundle has it: nothing of Node in it, and v86.wasm asked for by address. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { preload, v86 } from 'commonhv/engines/v86';
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

test('preload takes the bytes of an address that something else fetches, and fetches it where they do not come', async () => {
  // Nothing serves it: a machine under it shows that it was not asked for.
  const wasm = 'http://127.0.0.1:9/v86.wasm';
  const none = Promise.resolve(undefined);
  await assert.rejects(preload({ wasm, bytes: none }), /^MachineError: v86: cannot fetch http:\/\/127/);
  const { buffer } = new Uint8Array(readFileSync('node_modules/v86/build/v86.wasm'));
  await preload({ wasm, bytes: Promise.resolve(buffer) });
  const { ebx } = await (await v86({ wasm }).hostCpu()).cpuid(0x4000_0000, 0);
  assert.equal(ebx, 0x6177_4d56);
});
