/** The tables of copies in docs/driver.md, docs/processes.md and docs/randomness.md are made of the matrix' rows. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';

test('the tables of copies are the ones that their script makes', () => {
  const { status, stderr } = spawnSync(process.execPath, ['scripts/copies-table.js', '--check'], {
    encoding: 'utf8',
  });
  assert.equal(status, 0, stderr);
});
