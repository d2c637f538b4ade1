/** Tables of README.md and docs/clones.md are made of the matrix' rows. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';

for (const [script, document] of [
  ['offers', 'README.md'],
  ['clones', 'docs/clones.md'],
]) {
  test(`the table of ${script} in ${document} is the one that its script makes`, () => {
    const { status, stderr } = spawnSync(process.execPath, [`scripts/${script}-table.js`, '--check'], {
      encoding: 'utf8',
    });
    assert.equal(status, 0, stderr);
  });
}
