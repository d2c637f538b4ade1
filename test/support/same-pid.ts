/** The library by which a process is copied with the same process id (same-pid.c): compiled once a process. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Its path, or `undefined` where it cannot be made; removed when this process ends. */
export function samePid(): string | undefined {
  const linux = process.platform === 'linux' && process.arch === 'x64';
  if (!linux || spawnSync('cc', ['--version']).status !== 0) return undefined;
  const folder = mkdtempSync(join(tmpdir(), 'commonhv-same-pid-'));
  process.once('exit', () => rmSync(folder, { recursive: true, force: true }));
  const library = join(folder, 'same-pid.so');
  const made = spawnSync('cc', ['-shared', '-fPIC', '-ldl', '-o', library, 'test/support/same-pid.c'], {
    encoding: 'utf8',
  });
  assert.equal(made.status, 0, made.stderr);
  return library;
}
