import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { kvmUnavailable } from './device.ts';

const folder = mkdtempSync(join(tmpdir(), 'commonhv-device-'));
after(() => rmSync(folder, { recursive: true, force: true }));

const path = (name: string): string => join(folder, name);
writeFileSync(path('regular'), 'kept');
mkdirSync(path('directory'));
symlinkSync(path('nowhere'), path('dangling'));
spawnSync('mkfifo', [path('fifo')]);
const present = readdirSync(folder).sort();

const cases: readonly (readonly [name: string, usable: boolean])[] = [
  [path('missing'), false],
  [path('regular'), false],
  [path('directory'), false],
  [path('dangling'), false],
  [path('fifo'), false],
  ['/dev/null', true],
];

for (const [name, usable] of cases) {
  test(`${name === '/dev/null' ? name : name.slice(folder.length + 1)} is ${usable ? 'usable' : 'refused'} and nothing is created`, () => {
    assert.equal(kvmUnavailable(name) === undefined, usable);
    // The lines that .ci/run executes, which run before anything is built.
    const shell = spawnSync('sh', ['.ci/opens', name], { timeout: 5000 });
    assert.equal(shell.signal, null);
    assert.equal(shell.status === 0, usable);
    assert.deepEqual(readdirSync(folder).sort(), present);
  });
}
