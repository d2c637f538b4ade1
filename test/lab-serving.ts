/** How the lab is served: to this machine only, its own files only, under a strict policy; and from any path elsewhere. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { request } from 'node:http';
import { test } from 'node:test';

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

export function serving(address: () => string): void {
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

  test('a port that is taken is one line and exit 2', () => {
    const { status, stderr } = spawnSync(
      process.execPath,
      ['dist/cli/bin.js', 'lab', '--port', new URL(address()).port],
      { encoding: 'utf8', timeout: 20_000 },
    );
    assert.equal(status, 2);
    assert.match(stderr, /^commonhv: port \d+ is taken: choose another with --port, or 0 for any\n$/);
  });
}
