/** The shape of src and lab: no files import each other in a circle, the lab's folders import in one direction. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { test } from 'node:test';
import ts from 'typescript';

/** From the reader's side to the data: a folder imports from itself and from those after it. */
const DIRECTION = ['ui', 'state', 'worker', 'model'] as const;
/** Begins the worker by its address: a worker is another program, no import. */
const WORKER_ADDRESS = 'lab/state/remote.ts';

interface Import {
  readonly from: string;
  readonly to: string;
}

function sources(folder: string): readonly ts.SourceFile[] {
  return readdirSync(folder, { recursive: true })
    .map((name) => join(folder, String(name)))
    .filter((file) => /\.tsx?$/.test(file) && !/\.(test|d|config)\.ts$/.test(file))
    .map((file) => ts.createSourceFile(file, readFileSync(file, 'utf8'), ts.ScriptTarget.Latest, true));
}

/** Imports and re-exports that are left when the types are gone: only those run, and only they can run in a circle. */
function imports(file: ts.SourceFile, { types }: { types: boolean }): readonly Import[] {
  const found: Import[] = [];
  const visit = (node: ts.Node): void => {
    const target = specifierOf(node, types);
    if (target?.startsWith('.'))
      found.push({ from: file.fileName, to: normalize(join(dirname(file.fileName), target)) });
    ts.forEachChild(node, visit);
  };
  visit(file);
  return found;
}

function specifierOf(node: ts.Node, types: boolean): string | undefined {
  if (ts.isImportDeclaration(node)) {
    const clause = node.importClause;
    const named = clause?.namedBindings;
    const onlyTypes =
      clause?.phaseModifier === ts.SyntaxKind.TypeKeyword ||
      (clause !== undefined &&
        clause.name === undefined &&
        named !== undefined &&
        ts.isNamedImports(named) &&
        named.elements.length > 0 &&
        named.elements.every(({ isTypeOnly }) => isTypeOnly));
    return types || !onlyTypes ? textOf(node.moduleSpecifier) : undefined;
  }
  if (ts.isExportDeclaration(node) && node.moduleSpecifier)
    return types || !node.isTypeOnly ? textOf(node.moduleSpecifier) : undefined;
  if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword)
    return textOf(node.arguments[0]);
  return undefined;
}

const textOf = (node: ts.Node | undefined): string | undefined =>
  node !== undefined && ts.isStringLiteral(node) ? node.text : undefined;

/** The first circle that a walk finds, as the files along it; `undefined` where there is none. */
function circle(edges: readonly Import[]): readonly string[] | undefined {
  const next = new Map<string, string[]>();
  for (const { from, to } of edges) next.set(from, [...(next.get(from) ?? []), to]);
  const done = new Set<string>();
  const walk = (file: string, path: readonly string[]): readonly string[] | undefined => {
    const before = path.indexOf(file);
    if (before >= 0) return [...path.slice(before), file];
    if (done.has(file)) return undefined;
    for (const to of next.get(file) ?? []) {
      const found = walk(to, [...path, file]);
      if (found) return found;
    }
    done.add(file);
    return undefined;
  };
  for (const file of next.keys()) {
    const found = walk(file, []);
    if (found) return found;
  }
  return undefined;
}

const lab = sources('lab');

test('a circle of imports is found, and a fork that meets again is none', () => {
  const edge = (from: string, to: string) => ({ from, to });
  assert.deepEqual(circle([edge('a', 'b'), edge('b', 'c'), edge('c', 'b')]), ['b', 'c', 'b']);
  assert.equal(circle([edge('a', 'b'), edge('a', 'c'), edge('b', 'd'), edge('c', 'd')]), undefined);
  const file = ts.createSourceFile(
    'a/b.ts',
    "import { x } from './c.ts'; import type { T } from './t.ts'; import { type U } from './u.ts'; export * from '../d.ts'; void import('./e.ts'); import 'f';",
    ts.ScriptTarget.Latest,
    true,
  );
  assert.deepEqual(
    imports(file, { types: false }).map(({ to }) => to),
    ['a/c.ts', 'd.ts', 'a/e.ts'],
  );
  assert.equal(imports(file, { types: true }).length, 5);
});

for (const folder of ['src', 'lab'])
  test(`no files of ${folder} import each other in a circle`, () => {
    const edges = sources(folder).flatMap((file) => imports(file, { types: folder === 'lab' }));
    assert.ok(edges.length > 50);
    assert.equal(circle(edges)?.join(' -> '), undefined);
  });

test('the lab’s folders import from ui to state to worker to model, never back', () => {
  const place = (path: string) => DIRECTION.indexOf(path.split('/')[1] as (typeof DIRECTION)[number]);
  const files = lab.filter(({ fileName }) => fileName.split('/').length > 2);
  assert.deepEqual(
    [...new Set(files.map(({ fileName }) => fileName.split('/')[1]))].sort(),
    [...DIRECTION].sort(),
  );
  const back = files
    .flatMap((file) => imports(file, { types: true }))
    .filter(({ from, to }) => place(to) < place(from));
  assert.deepEqual(back, []);
  const worker = files
    .flatMap((file) => imports(file, { types: true }))
    .filter(({ from, to }) => place(from) < place('lab/worker') && place(to) === place('lab/worker'));
  assert.deepEqual(worker, [], `only ${WORKER_ADDRESS} names the worker, by its address`);
});
