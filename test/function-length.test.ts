/** A function is at most 60 lines: src (the executable's entry among it) and lab. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import ts from 'typescript';

const MAX_LINES = 60;

interface Long {
  readonly name: string;
  readonly lines: number;
}

function longFunctions(file: string, text: string): Long[] {
  const source = ts.createSourceFile(file, text, ts.ScriptTarget.Latest, true);
  const line = (at: number) => source.getLineAndCharacterOfPosition(at).line;
  const found: Long[] = [];
  const visit = (node: ts.Node): void => {
    if (ts.isFunctionLike(node) && 'body' in node && node.body !== undefined) {
      const lines = line(node.end) - line(node.getStart(source)) + 1;
      if (lines > MAX_LINES) found.push({ name: `${file} ${nameOf(node, source)}`, lines });
    }
    ts.forEachChild(node, visit);
  };
  visit(source);
  return found;
}

/** Its own name, or that of the variable or property that holds it. */
function nameOf(node: ts.SignatureDeclaration, source: ts.SourceFile): string {
  const { parent } = node;
  const named =
    node.name ??
    (ts.isVariableDeclaration(parent) || ts.isPropertyAssignment(parent) ? parent.name : undefined);
  return (
    named?.getText(source) ?? `(line ${source.getLineAndCharacterOfPosition(node.getStart(source)).line + 1})`
  );
}

test('the measure finds functions of every form, by their names', () => {
  const body = '\n'.repeat(MAX_LINES);
  const text = [
    `function plain() {${body}}`,
    `const arrow = () => {${body}};`,
    `class C { method() {${body}} get value() {${body}return 1;} }`,
    `const table = { entry: function () {${body}} };`,
    `run(() => {${body}});`,
    `function short() {${'\n'.repeat(MAX_LINES - 1)}}`,
  ];
  const names = text.flatMap((part) => longFunctions('a.ts', part).map(({ name }) => name));
  assert.deepEqual(names, [
    'a.ts plain',
    'a.ts arrow',
    'a.ts method',
    'a.ts value',
    'a.ts entry',
    'a.ts (line 1)',
  ]);
});

test('no function of src and lab is longer than 60 lines', () => {
  const files = ['src', 'lab'].flatMap((folder) =>
    readdirSync(folder, { recursive: true })
      .map((name) => join(folder, String(name)).replaceAll('\\', '/'))
      .filter((file) => /\.tsx?$/.test(file) && !file.includes('node_modules')),
  );
  assert.deepEqual(
    files.flatMap((file) => longFunctions(file, readFileSync(file, 'utf8'))),
    [],
  );
});
