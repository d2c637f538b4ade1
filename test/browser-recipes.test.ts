/** The recipes of examples/README.md for Vite, esbuild and a plain page, each in a real browser. */
import assert from 'node:assert/strict';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { extname, join } from 'node:path';
import { after, before, test } from 'node:test';
import { build as esbuild } from 'esbuild';
import type { Browser } from 'playwright-core';
import { CHROMIUM, launch, vite } from './support/browser.ts';
import { skipUnless } from './support/require.ts';

const skip = skipUnless('chromium', CHROMIUM !== undefined, 'there is no Chromium here');
const work = mkdtempSync(join(tmpdir(), 'commonhv-recipes-'));
const WASM = 'node_modules/v86/build/v86.wasm';
const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html',
  '.js': 'text/javascript',
  '.mjs': 'text/javascript',
  '.wasm': 'application/wasm',
};

let browser: Browser | undefined;
before(async () => {
  if (!skip) browser = await launch();
});
after(async () => {
  await browser?.close();
  rmSync(work, { recursive: true, force: true });
});

/** The title of a page of a folder, once it has another than its first. */
async function titleOf(folder: string, file: string): Promise<string> {
  const server = createServer(({ url = '/' }, response) => {
    try {
      const bytes = readFileSync(join(folder, new URL(url, 'http://localhost').pathname));
      response
        .writeHead(200, { 'Content-Type': TYPES[extname(url)] ?? 'application/octet-stream' })
        .end(bytes);
    } catch {
      response.writeHead(404).end();
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const page = await browser!.newPage();
  const wrong: string[] = [];
  page.on('pageerror', (error) => wrong.push(error.message));
  page.on('console', (message) => message.type() === 'error' && wrong.push(message.text()));
  try {
    await page.goto(`http://127.0.0.1:${(server.address() as AddressInfo).port}/${file}`);
    await page
      .waitForFunction("document.title !== 'starting'", undefined, { timeout: 100_000 })
      .catch((error) => {
        throw new Error(`${error}; ${wrong.join('; ')}`);
      });
    return await page.title();
  } finally {
    await page.close();
    server.closeAllConnections();
    server.close();
  }
}

test('Vite: a build without settings', { skip, timeout: 200_000 }, async () => {
  const folder = join(work, 'vite');
  cpSync('examples/browser', folder, { recursive: true });
  mkdirSync(join(folder, 'public'));
  cpSync(WASM, join(folder, 'public/v86.wasm'));
  mkdirSync(join(folder, 'node_modules'));
  for (const name of ['v86', '@noble'])
    symlinkSync(join(process.cwd(), 'node_modules', name), join(folder, 'node_modules', name));
  symlinkSync(process.cwd(), join(folder, 'node_modules/commonhv'));
  await vite({
    root: folder,
    logLevel: 'silent',
    configFile: false,
    build: { outDir: join(folder, 'out'), target: 'es2022' },
  });
  assert.equal(await titleOf(join(folder, 'out'), 'index.html'), 'CommonHV draft 3');
});

test('esbuild: the flags of the recipe', { skip, timeout: 200_000 }, async () => {
  const folder = join(work, 'esbuild');
  const line = /esbuild page\.js .*/.exec(readFileSync('examples/README.md', 'utf8'))![0];
  const external = [...line.matchAll(/--external:(\S+)/g)].map(([, name]) => name!);
  assert.equal(external.length, 5);
  await esbuild({
    entryPoints: ['examples/browser/page.js'],
    bundle: true,
    format: 'esm',
    outdir: folder,
    external,
    logLevel: 'error',
  });
  cpSync(WASM, join(folder, 'v86.wasm'));
  cpSync('examples/browser/index.html', join(folder, 'index.html'));
  assert.equal(await titleOf(folder, 'index.html'), 'CommonHV draft 3');
});

test('no bundler: an import map', { skip, timeout: 200_000 }, async () => {
  const folder = join(work, 'plain');
  cpSync('examples/browser', folder, { recursive: true });
  cpSync(WASM, join(folder, 'v86.wasm'));
  mkdirSync(join(folder, 'node_modules'));
  for (const name of ['v86', '@noble'])
    symlinkSync(join(process.cwd(), 'node_modules', name), join(folder, 'node_modules', name));
  symlinkSync(process.cwd(), join(folder, 'node_modules/commonhv'));
  assert.equal(await titleOf(folder, 'plain.html'), 'CommonHV draft 3');
});
