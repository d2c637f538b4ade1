/** README's table of hypervisors that offer CommonHV is made of the matrix' rows. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';

test('the table of offers in README.md is the one that its script makes', () => {
  const { status, stderr } = spawnSync(process.execPath, ['scripts/offers-table.js', '--check'], {
    encoding: 'utf8',
  });
  assert.equal(status, 0, stderr);
});
