import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { cap, exit, ioctl, layout, value } from './abi.ts';

/** Every number of the ABI, by the C expression that gives it. */
const expected = new Map<string, number>([
  ...Object.entries(ioctl).map(([name, number]): [string, number] => [`KVM_${name}`, number]),
  ...Object.entries(cap).map(([name, number]): [string, number] => [`KVM_CAP_${name}`, number]),
  ...Object.entries(exit).map(([name, number]): [string, number] => [`KVM_EXIT_${name}`, number]),
  ...Object.entries(value),
  ...Object.entries(layout).flatMap(([struct, { size, ...fields }]) => [
    [`sizeof(struct ${struct})`, size] as [string, number],
    ...Object.entries(fields).map(([field, at]): [string, number] => [
      `offsetof(struct ${struct}, ${field})`,
      at,
    ]),
  ]),
]);

const program = `#include <stddef.h>
#include <stdio.h>
#include <linux/kvm.h>
int main(void) {
${[...expected.keys()].map((name) => `  printf("%s %llu\\n", "${name}", (unsigned long long)(unsigned int)(${name}));`).join('\n')}
  return 0;
}
`;

const compiler =
  spawnSync('cc', ['-fsyntax-only', '-xc', '-'], { input: '#include <linux/kvm.h>\n' }).status === 0;
const required = process.env.COMMONHV_REQUIRE?.split(',').includes('cc') ?? false;
const skip = compiler || required ? false : 'needs a C compiler and <linux/kvm.h>';

test('every number, size and offset is that of <linux/kvm.h>', { skip }, () => {
  const folder = mkdtempSync(join(tmpdir(), 'commonhv-abi-'));
  try {
    writeFileSync(join(folder, 'abi.c'), program);
    execFileSync('cc', ['-o', join(folder, 'abi'), join(folder, 'abi.c')]);
    const lines = execFileSync(join(folder, 'abi'), { encoding: 'utf8' }).trim().split('\n');
    const seen = lines.map((line) => [line.slice(0, line.lastIndexOf(' ')), Number(line.split(' ').at(-1))]);
    assert.deepEqual(new Map(seen as [string, number][]), expected);
    assert.ok(expected.size > 100);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
