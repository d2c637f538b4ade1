/** The table of modules: who may import whom, where `node:` may stand, and that koffi and v86 stand in one file each. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { test } from 'node:test';

const files = readdirSync('src', { recursive: true })
  .map(String)
  .filter((file) => file.endsWith('.ts') && !file.endsWith('.test.ts'));
const imports = files.flatMap((file) =>
  [...readFileSync(join('src', file), 'utf8').matchAll(/(?:\bfrom\s+|\bimport\()'([^']+)'/g)].map(
    (match) => ({
      file,
      to: match[1]!,
    }),
  ),
);

const MODULES: Record<string, readonly string[]> = {
  cpu: [],
  spec: ['cpu'],
  probe: ['cpu'],
  boot: ['cpu'],
  'cpuid-dump': ['cpu', 'spec'],
  trace: ['cpu', 'spec'],
  markup: [],
  restored: ['engines'],
  clones: ['markup'],
  hypervisor: ['cpu', 'spec'],
  guest: ['cpu', 'spec'],
  conformance: ['cpu', 'spec', 'markup'],
  engines: ['cpu', 'probe', 'boot', 'cpuid-dump'],
  cli: [
    'cpu',
    'spec',
    'probe',
    'boot',
    'cpuid-dump',
    'trace',
    'clones',
    'hypervisor',
    'guest',
    'conformance',
    'engines',
  ],
};
const module = (file: string): string => file.split('/')[0]!.replace(/\.ts$/, '');

test('every file belongs to a module of the table', () => {
  assert.deepEqual([...new Set(files.map(module))].filter((name) => MODULES[name] === undefined).sort(), []);
});

test('a module imports only the rooms that the table allows', () => {
  const wrong = imports
    .filter(({ to }) => to.startsWith('.'))
    .map(({ file, to }) => ({ file, from: module(file), to: module(normalize(join(dirname(file), to))) }))
    .filter(({ from, to }) => from !== to && !MODULES[from]?.includes(to));
  assert.deepEqual(wrong, []);
});

test('node: stands only where a machine is touched', () => {
  const allowed =
    /^(cli\/|restored\/|engines\/native\/|engines\/kvm\/|engines\/ffi\.ts$|engines\/v86\/module-node\.ts$|hypervisor\/kernel-node\.ts$)/;
  assert.deepEqual(
    imports.filter(({ file, to }) => to.startsWith('node:') && !allowed.test(file)),
    [],
  );
});

test('koffi and v86 are imported by one file each, hashes by one, and nothing else from outside', () => {
  const outside = imports.filter(({ to }) => !/^(\.|#|node:)/.test(to));
  const byName = new Map<string, Set<string>>();
  for (const { file, to } of outside) {
    const name = to.startsWith('@') ? to.split('/').slice(0, 2).join('/') : to.split('/')[0]!;
    byName.set(name, (byName.get(name) ?? new Set()).add(file));
  }
  for (const [name, where] of byName) {
    assert.ok(['koffi', 'v86', 'commander', '@noble/hashes'].includes(name), `${name} in ${[...where]}`);
    if (name !== 'commander') assert.equal(where.size, 1, `${name} in ${[...where]}`);
  }
});

test('only bin.ts touches process in the command line', () => {
  const touching = files
    .filter((file) => file.startsWith('cli/') && file !== 'cli/bin.ts')
    .filter((file) =>
      /\bprocess\./.test(readFileSync(join('src', file), 'utf8').replace(/^\s*(\/\/|\*|\/\*\*).*$/gm, '')),
    );
  assert.deepEqual(touching, []);
});

test('no file of the source is longer than 300 lines', () => {
  const long = files.filter((file) => readFileSync(join('src', file), 'utf8').split('\n').length > 301);
  assert.deepEqual(long, []);
});
