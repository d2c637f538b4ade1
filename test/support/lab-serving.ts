/** How the lab is served: to this machine only, its own files only, under a strict policy; and from any path elsewhere. */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { extname, join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Browser } from 'playwright-core';
import { idle, says, visit } from './browser.ts';

interface Answer {
  readonly status: number | undefined;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
}

/** As the bytes go over the line: `fetch` would tidy the path, and refuse the host. */
function ask(
  address: string,
  path: string,
  options: { method?: string; host?: string } = {},
): Promise<Answer> {
  const { port } = new URL(address);
  const { method = 'GET', host = `127.0.0.1:${port}` } = options;
  return new Promise((resolve, reject) => {
    request({ host: '127.0.0.1', port, path, method, headers: { host } }, (response) => {
      response.resume();
      resolve({ status: response.statusCode, headers: response.headers });
    })
      .on('error', reject)
      .end();
  });
}

/** `commonhv lab --open` where programs are those of `folder`, until `done` of its standard error; resolves to that. */
async function openLab(folder: string, done: (text: string) => boolean): Promise<string> {
  const child = spawn(process.execPath, ['dist/cli/bin.js', 'lab', '--port', '0', '--open'], {
    env: { ...process.env, PATH: existsSync(`${folder}/xdg-open`) ? `${folder}:/usr/bin:/bin` : folder },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let text = '';
  child.stderr.on('data', (bytes: Buffer) => {
    text += bytes.toString();
  });
  for (let i = 0; i < 2400 && !done(text); i++) await sleep(50);
  child.kill('SIGTERM');
  await once(child, 'exit');
  return text;
}

export function serving(address: () => string, browser: () => Browser): void {
  test('any web server serves it from any path, without a header of ours', async () => {
    const server = createServer((asked, response) => {
      const path = /^\/a\/deep\/path\/([\w.-]+(?:\/[\w.-]+)?)?$/.exec(asked.url ?? '');
      if (path === null) return void response.writeHead(404).end();
      const file = path[1] ?? 'index.html';
      // Types by name are what servers know of; not all know WebAssembly's.
      const types = {
        '.html': 'text/html',
        '.js': 'text/javascript',
        '.css': 'text/css',
        '.svg': 'image/svg+xml',
      };
      const type = types[extname(file) as keyof typeof types] ?? 'application/octet-stream';
      response.writeHead(200, { 'Content-Type': type }).end(readFileSync(`dist/lab/${file}`));
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    const { page, wrong, close } = await visit(browser(), `http://127.0.0.1:${port}/a/deep/path/#draft=2`);
    try {
      await idle(page);
      await says(page, '#leaves .lead', /finds draft 2/);
      assert.deepEqual(wrong, []);
    } finally {
      await close();
      server.closeAllConnections();
      server.close();
    }
  });

  test('a page whose code does not come says so in one line, and nothing else', async () => {
    const context = await browser().newContext();
    try {
      const page = await context.newPage();
      await page.route(/\/state-[^/]*\.js$/, (route) => route.abort());
      await page.goto(address());
      await says(
        page,
        '.notice',
        /^The lab could not be loaded \(.*\): see that it is still served, and reload the page\.$/,
      );
    } finally {
      await context.close();
    }
  });

  test('a lab that is not built is one line that says what builds it, and exit 2', () => {
    const work = mkdtempSync(join(tmpdir(), 'commonhv-lab-'));
    try {
      cpSync('package.json', join(work, 'package.json'));
      cpSync('dist/cli', join(work, 'dist/cli'), { recursive: true });
      const { status, stderr } = spawnSync(process.execPath, [join(work, 'dist/cli/bin.js'), 'lab'], {
        encoding: 'utf8',
        timeout: 60_000,
      });
      assert.equal(status, 2);
      assert.equal(stderr, 'commonhv: the lab is not built yet: npm run build:lab builds it\n');
    } finally {
      rmSync(work, { recursive: true });
    }
  });

  test('the policy in the header is that of the page, and stricter by what only a header can say', async () => {
    const { status, headers } = await ask(address(), '/');
    assert.equal(status, 200);
    const policy = String(headers['content-security-policy']);
    const own = /http-equiv="Content-Security-Policy"\s+content="([^"]+)"/.exec(
      readFileSync('dist/lab/index.html', 'utf8'),
    )![1];
    assert.equal(policy, `${own}; frame-ancestors 'none'`);
    assert.doesNotMatch(policy.replace("'wasm-unsafe-eval'", ''), /unsafe|blob:|data:|https?:|\*/);
    assert.equal(headers['x-content-type-options'], 'nosniff');
    // Only to an isolated page a worker's clock shows less than a tenth of a millisecond: a CPUID takes that.
    assert.equal(headers['cross-origin-embedder-policy'], 'require-corp');
    assert.equal(headers['cross-origin-opener-policy'], 'same-origin');
  });

  test('only the page’s own files are served, and only to this machine’s names', async () => {
    for (const path of [
      '/../package.json',
      '/%2e%2e/package.json',
      '/assets/../../cli/bin.js',
      '/assets',
      '/x',
    ]) {
      assert.equal((await ask(address(), path)).status, 404, path);
    }
    assert.equal((await ask(address(), '/', { host: 'example.org' })).status, 421);
    assert.equal((await ask(address(), '/', { method: 'POST' })).status, 405);
    assert.equal((await ask(address(), '/draft3.html')).status, 200);
  });

  test('--open opens the address in the system’s browser, and a browser that is missing is one line', async () => {
    const work = mkdtempSync(join(tmpdir(), 'commonhv-open-'));
    try {
      writeFileSync(join(work, 'xdg-open'), `#!/bin/sh\necho "$1" > ${work}/opened\n`, { mode: 0o755 });
      const file = join(work, 'opened');
      const opened = await openLab(work, () => existsSync(file) && readFileSync(file).length > 0);
      assert.match(readFileSync(file, 'utf8'), /^http:\/\/127\.0\.0\.1:\d+\/\n$/);
      assert.equal(opened, '');
      rmSync(join(work, 'xdg-open'));
      const missing = await openLab(work, (text) => text !== '');
      assert.equal(missing, 'commonhv: --open: xdg-open opened no browser: open the address yourself\n');
    } finally {
      rmSync(work, { recursive: true });
    }
  });

  test('a port that is taken is one line and exit 2', () => {
    const { status, stderr } = spawnSync(
      process.execPath,
      ['dist/cli/bin.js', 'lab', '--port', new URL(address()).port],
      { encoding: 'utf8', timeout: 60_000 },
    );
    assert.equal(status, 2);
    assert.match(stderr, /^commonhv: port \d+ is taken: choose another with --port, or 0 for any\n$/);
  });
}
