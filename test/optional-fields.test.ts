/** An optional field of an exported type takes `undefined` too: callers compile with exactOptionalPropertyTypes. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import ts from 'typescript';

/** The optional fields in exported interfaces and object types of `text` whose own type does not name `undefined`. */
function withoutUndefined(file: string, text: string): string[] {
  const source = ts.createSourceFile(file, text, ts.ScriptTarget.Latest, true);
  const found: string[] = [];
  const visit = (node: ts.Node): void => {
    if (ts.isPropertySignature(node) && node.questionToken && !takesUndefined(node.type))
      found.push(`${file}:${source.getLineAndCharacterOfPosition(node.getStart(source)).line + 1}`);
    ts.forEachChild(node, visit);
  };
  for (const statement of source.statements) {
    const isType = ts.isInterfaceDeclaration(statement) || ts.isTypeAliasDeclaration(statement);
    if (isType && statement.modifiers?.some(({ kind }) => kind === ts.SyntaxKind.ExportKeyword))
      visit(statement);
  }
  return found;
}

function takesUndefined(type: ts.TypeNode | undefined): boolean {
  if (type === undefined) return true;
  if (ts.isUnionTypeNode(type)) return type.types.some(takesUndefined);
  return [ts.SyntaxKind.UndefinedKeyword, ts.SyntaxKind.UnknownKeyword, ts.SyntaxKind.AnyKeyword].includes(
    type.kind,
  );
}

test('the reader finds fields that refuse undefined, in interfaces and in object types', () => {
  const text = [
    'export interface A { readonly a?: number; b?: string | undefined; c: number; d?: unknown }',
    'interface Own { a?: number }',
    'export type B = { a?: () => number | undefined };',
    'export interface C { inner: {',
    '  a?: true } }',
  ].join('\n');
  assert.deepEqual(withoutUndefined('a.ts', text), ['a.ts:1', 'a.ts:3', 'a.ts:5']);
});

test('every optional field of an exported type in src takes undefined', () => {
  const files = readdirSync('src', { recursive: true })
    .map((name) => join('src', String(name)).replaceAll('\\', '/'))
    .filter((file) => file.endsWith('.ts') && !file.endsWith('.test.ts'));
  assert.ok(files.length > 100);
  assert.deepEqual(
    files.flatMap((file) => withoutUndefined(file, readFileSync(file, 'utf8'))),
    [],
  );
});
