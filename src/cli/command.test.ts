/** Commands of the user's that go wrong: each is named, and none is left running. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runToEnd } from './command.ts';
import type { Io } from './io.ts';

const io = { interrupted: new AbortController().signal } as Io;

test('a command that ends well and says nothing is no error', () => runToEnd('--save', 'true', 30, io, true));

for (const [text, seconds, message] of [
  ['exit 3', 30, /^--save: the command ended with status 3$/],
  ['echo no such state >&2; exit 1', 30, /^--save: the command ended with status 1: no such state$/],
  ['kill -9 $$', 30, /^--save: the command ended by SIGKILL$/],
  ['sleep 60', 0.3, /^--save: the command did not end within 0\.3 s \(--timeout\): sleep 60$/],
  ['sleep 60 >/dev/null 2>&1 & true', 30, /^--save: the command left processes running; they were ended: /],
  ['echo saved', 30, /^--save: the command printed "saved" on its standard output/],
] as const)
  test(`${text}: an error that names the option`, () =>
    assert.rejects(runToEnd('--save', text, seconds, io, true), { message }));
