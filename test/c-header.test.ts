/** The C header: its numbers against `commonhv/spec`, and its discovery against `commonhv/guest`, on hostile tables too. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import type { Regs } from 'commonhv';
import { bare } from 'commonhv';
import { discover } from 'commonhv/guest';
import * as spec from 'commonhv/spec';
import fc from 'fast-check';
import { skipUnless } from './support/require.ts';

const HEADER = 'c/include/commonhv.h';
const OUT = '.cache/c-header';
mkdirSync(OUT, { recursive: true });

/** Compiles a program against the header as strictly as the compiler can; its error, or undefined. */
function compile(compiler: string, source: string, program: string, options: readonly string[]) {
  const warnings = ['-Wall', '-Wextra', '-Wpedantic', '-Wno-variadic-macros', '-Werror'];
  const args = [...options, ...warnings, '-Ic/include', '-o', `${OUT}/${program}`, source];
  const { status, stderr, error } = spawnSync(compiler, args, { encoding: 'utf8' });
  return status === 0 ? undefined : (error?.message ?? stderr.trim().split('\n').at(-1)!);
}
const run = (program: string, input = '') => {
  const { status, stdout, stderr } = spawnSync(`${OUT}/${program}`, {
    input,
    encoding: 'utf8',
    timeout: 60_000,
    maxBuffer: 2 ** 28,
  });
  assert.equal(status, 0, stderr);
  return stdout.trim().split('\n');
};
const here = spawnSync('cc', ['--version']).status === 0;
const cc = skipUnless('cc', here, 'no C compiler');

/** The draft's numbers, typed from its second edition. */
const NUMBERS: Readonly<Record<string, bigint>> = {
  LEAF_ROOT: 0x4f000000n,
  LEAF_LAST: 0x4fffffffn,
  SIGNATURE_EBX: 0x6d6d6f43n,
  SIGNATURE_ECX: 0x56486e6fn,
  SIGNATURE_EDX: 0x66746e49n,
  LEAF_INTERFACES: 0x4f000001n,
  MAX_INTERFACES: 256n,
  LEAF_FEATURES: 0x4f000002n,
  FEATURE_RNG: 1n,
  FEATURE_RNG_INPUT: 2n,
  FEATURE_GENERATION: 4n,
  FEATURE_PAGE: 8n,
  FEATURE_ACK: 16n,
  LEAF_MSRS: 0x4f000003n,
  RNG_SECURE: 1n,
  RNG_INSECURE: 2n,
  DEFAULT_RNG_MSR: 0x400000a0n,
  DEFAULT_GENERATION_MSR: 0x400000a1n,
  DEFAULT_PAGE_MSR: 0x400000a2n,
  PAGE_SIZE: 4096n,
  PAGE_ENABLE: 1n,
  PAGE_ADDRESS: 0xfffffffffffff000n,
};

/** The constants that `commonhv/spec` has under the same name. */
const SHARED = [
  'LEAF_ROOT',
  'LEAF_LAST',
  'LEAF_INTERFACES',
  'MAX_INTERFACES',
  'LEAF_FEATURES',
  'FEATURE_RNG',
  'FEATURE_RNG_INPUT',
  'FEATURE_GENERATION',
  'FEATURE_PAGE',
  'FEATURE_ACK',
  'RNG_SECURE',
  'RNG_INSECURE',
  'DEFAULT_RNG_MSR',
  'DEFAULT_GENERATION_MSR',
  'DEFAULT_PAGE_MSR',
  'PAGE_SIZE',
];

test('the header’s constants are the draft’s numbers, each of them and no others', { skip: cc }, () => {
  const names = [...readFileSync(HEADER, 'utf8').matchAll(/^#define COMMONHV_(\w+)[ \t]+\S/gm)].map(
    ([, name]) => name!,
  );
  assert.deepEqual(names.toSorted(), Object.keys(NUMBERS).toSorted());
  const lines = names.map((name) => `printf("${name} %llx\\n", (unsigned long long)COMMONHV_${name});`);
  const layout =
    'printf("page %zu %zu %zu\\n", sizeof(struct commonhv_page), offsetof(struct commonhv_page, generation), offsetof(struct commonhv_page, reseeded));';
  writeFileSync(
    `${OUT}/constants.c`,
    `#include <stddef.h>\n#include <stdio.h>\n#include "commonhv.h"\nint main(void)\n{\n${lines.join('\n')}\n${layout}\nreturn 0;\n}\n`,
  );
  assert.equal(compile('cc', `${OUT}/constants.c`, 'constants', ['-std=c99']), undefined);
  const printed = run('constants').map((line) => line.split(' '));
  assert.deepEqual(printed.pop(), ['page', '4096', '0', '8']);
  assert.equal(printed.length, names.length);
  for (const [name, value] of printed) assert.equal(BigInt(`0x${value}`), NUMBERS[name!], name);
});

test('commonhv/spec has the same numbers', () => {
  const numbers = spec as unknown as Readonly<Record<string, unknown>>;
  for (const name of SHARED) assert.equal(BigInt(numbers[name] as number | bigint), NUMBERS[name], name);
  const { ebx, ecx, edx } = spec.encodeRoot(0);
  const signature = [ebx, ecx, edx].map(BigInt);
  assert.deepEqual(signature, [NUMBERS.SIGNATURE_EBX, NUMBERS.SIGNATURE_ECX, NUMBERS.SIGNATURE_EDX]);
});

test('the header compiles as C++ and without a C library', { skip: cc }, () => {
  const freestanding = ['-ffreestanding', '-c', '-x', 'c', '-std=gnu99', '-Wdeclaration-after-statement'];
  assert.equal(compile('cc', HEADER, 'freestanding.o', freestanding), undefined);
  if (spawnSync('c++', ['--version']).status !== 0) return;
  assert.equal(
    compile('c++', 'test/support/c-header.c', 'cplusplus', ['-x', 'c++', '-std=c++11']),
    undefined,
  );
});

interface Row {
  readonly leaf: number;
  readonly subleaf: number;
  readonly regs: Regs;
}
interface Table {
  readonly absent: Regs;
  readonly rows: readonly Row[];
}

const u32 = fc.oneof(
  fc.constantFrom(0, 1, 2, 3, 4, 5, 7, 0x1f, 0x100, 0x101, 0x400000a0, 0x400000a1, 0x400000a2, 0xffffffff),
  fc.nat(0xffffffff),
);
const anyRegs = fc.record({ eax: u32, ebx: u32, ecx: u32, edx: u32 });
const none = fc.constant({ eax: 0, ebx: 0, ecx: 0, edx: 0 });
const name = { ebx: 0x6d6d6f43, ecx: 0x56486e6f, edx: 0x66746e49 };
const root = fc.oneof(
  {
    weight: 12,
    arbitrary: fc
      .constantFrom(0, 1, 2, 3, 4, 0xffffff)
      .map((above) => ({ eax: 0x4f000000 + above, ...name })),
  },
  {
    weight: 1,
    arbitrary: fc.constantFrom(0, 0x4effffff, 0x50000000, 0xffffffff).map((eax) => ({ eax, ...name })),
  },
  { weight: 1, arbitrary: anyRegs.map((regs) => ({ ...regs, eax: 0x4f000003 })) },
);
const features = fc.record({
  eax: fc.oneof(fc.nat(31), u32),
  ebx: fc.constantFrom(0, 1, 2, 3, 3, 3, 4, 0xffffffff),
  ecx: fc.constantFrom(0, 0, 9),
  edx: fc.constantFrom(0, 0, 9),
});
const list = fc.record({
  eax: fc.oneof(fc.nat(5), u32),
  ebx: fc.oneof(fc.nat(6), u32),
  ecx: fc.constantFrom(0, 0, 7),
  edx: fc.constantFrom(0, 0, 7),
});
const table: fc.Arbitrary<Table> = fc
  .record({
    absent: fc.oneof(none, anyRegs),
    root,
    list: fc.oneof(list, none),
    features: fc.oneof(features, none),
    msrs: anyRegs,
    tuples: fc.array(fc.oneof({ weight: 4, arbitrary: anyRegs }, { weight: 1, arbitrary: none }), {
      maxLength: 8,
    }),
  })
  .map(({ absent, root, list, features, msrs, tuples }) => ({
    absent,
    rows: [
      { leaf: 0x4f000000, subleaf: 0, regs: root },
      { leaf: 0x4f000001, subleaf: 0, regs: list },
      ...tuples.map((regs, i) => ({ leaf: 0x4f000001, subleaf: i + 1, regs })),
      { leaf: 0x4f000002, subleaf: 0, regs: features },
      { leaf: 0x4f000003, subleaf: 0, regs: msrs },
    ],
  }));

/** The discovery of `commonhv/guest`, in the words of the header. */
async function expected({ absent, rows }: Table) {
  const cpu = {
    ...bare,
    cpuid: (leaf: number, subleaf: number) =>
      rows.find((row) => row.leaf === leaf && row.subleaf === subleaf)?.regs ?? absent,
  };
  const found = await discover(cpu);
  if (found === undefined) return undefined;
  const { draft = 0, maxLeaf, preferred = 0, rng, generation } = found;
  return {
    draft,
    maxLeaf,
    preferred,
    rng: rng && { msr: rng.msr, input: rng.input, secure: rng.secure },
    generation: generation && { msr: generation.msr, ack: generation.ack, page: generation.pageMsr },
    interfaces: found.interfaces.map((tuple) => {
      const { ebx, ecx, edx } = spec.encodeSignature(tuple.signature);
      return [tuple.location, ebx, ecx, edx];
    }),
  };
}

test('the header discovers the same as commonhv/guest, and executes a bounded number of CPUIDs', {
  skip: cc,
}, async () => {
  const sanitized = ['-std=gnu99', '-fsanitize=address,undefined', '-fno-sanitize-recover'];
  const failed = compile('cc', 'test/support/c-header.c', 'discover', sanitized);
  if (failed !== undefined)
    assert.equal(compile('cc', 'test/support/c-header.c', 'discover', ['-std=gnu99']), undefined);
  const tables = fc.sample(table, { numRuns: 4000 });
  const hex = (value: number) => value.toString(16);
  const regs = ({ eax, ebx, ecx, edx }: Regs) => [eax, ebx, ecx, edx].map(hex).join(' ');
  const lines = tables.map(
    ({ absent, rows }) =>
      `${regs(absent)} ${hex(rows.length)} ${rows.map((row) => `${hex(row.leaf)} ${hex(row.subleaf)} ${regs(row.regs)}`).join(' ')}`,
  );
  const printed = run('discover', `${hex(tables.length)}\n${lines.join('\n')}\n`);
  assert.equal(printed.length, tables.length);
  const drafts = new Set<number | undefined>();
  for (const [i, one] of tables.entries()) {
    const { executed, features, secure, ...found } = JSON.parse(printed[i]!);
    const want = await expected(one);
    const said = lines[i]!;
    drafts.add(want?.draft);
    assert.ok(executed <= 4 + Math.max(found.interfaces?.length ?? 0, 0) + 1, said);
    if (want === undefined) {
      assert.deepEqual(found, {}, said);
      continue;
    }
    const rng = {
      msr: found.rng,
      input: (features & 2) !== 0,
      secure: secure < 0 ? undefined : secure === 1,
    };
    const page = (features & 8) !== 0 ? found.page : undefined;
    const generation =
      (features & 4) !== 0 ? { msr: found.generation, ack: (features & 16) !== 0, page } : undefined;
    const { draft, maxLeaf, preferred, interfaces } = found;
    assert.deepEqual(
      { draft, maxLeaf, preferred, rng: (features & 1) !== 0 ? rng : undefined, generation, interfaces },
      want,
      said,
    );
    // "Bits 3 and 4 need bit 2; indices of provided registers differ from each other."
    if ((features & 0b11000) !== 0) assert.equal(features & 4, 4, said);
    if ((features & 8) !== 0)
      assert.ok(found.page !== found.generation && !(features & 1 && found.page === found.rng), said);
  }
  assert.deepEqual(drafts, new Set([undefined, 0, 1, 2, 3]));
});
