import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { writeCompleteFile } from './complete-file.ts';

const folder = mkdtempSync(join(tmpdir(), 'commonhv-complete-'));
after(() => rmSync(folder, { recursive: true, force: true }));
const save = (name: string, text: string) =>
  writeCompleteFile(join(folder, name), async (fd) => writeFileSync(fd, text));
const names = () => readdirSync(folder).sort();

test('the file is whole and read-only, and replaces the one before', async () => {
  await save('a', 'first');
  await save('a', 'second');
  assert.equal(readFileSync(join(folder, 'a'), 'utf8'), 'second');
  assert.equal(statSync(join(folder, 'a')).mode & 0o777, 0o400);
  assert.deepEqual(names(), ['a']);
});

test('what fails keeps the file before, and leaves no part', async () => {
  const failing = writeCompleteFile(join(folder, 'a'), async (fd) => {
    writeFileSync(fd, 'half');
    throw new Error('the disk is full');
  });
  await assert.rejects(failing, /^Error: the disk is full$/);
  assert.equal(readFileSync(join(folder, 'a'), 'utf8'), 'second');
  assert.deepEqual(names(), ['a']);
});

test('parts of processes that have ended are removed; those of others and of another name are not', async () => {
  const { pid } = spawnSync('true'); // it has ended
  const old = [
    `a.${pid}-01234567.part`,
    `a.${process.pid}-01234567.part`,
    `b.${pid}-01234567.part`,
    'a.part',
  ];
  for (const name of old) {
    writeFileSync(join(folder, name), '');
    utimesSync(join(folder, name), new Date(0), new Date(0));
  }
  writeFileSync(join(folder, `a.${pid}-76543210.part`), ''); // written to just now, perhaps in another container
  await save('a', 'third');
  assert.deepEqual(names(), ['a', `a.${pid}-76543210.part`, ...old.slice(1)].sort());
  assert.equal(readFileSync(join(folder, 'a'), 'utf8'), 'third');
});
