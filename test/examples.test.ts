/** The small examples as a newcomer runs them: each prints what its first lines promise, and ends by itself. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';

function lines(example: string): readonly string[] {
  const { status, signal, stdout, stderr } = spawnSync(process.execPath, [`examples/${example}.js`], {
    encoding: 'utf8',
    timeout: 60_000,
  });
  assert.deepEqual([status, signal, stderr], [0, null, '']);
  return stdout.trimEnd().split('\n');
}

test('under-layer: one’s own v86 sees CommonHV under one layer, and nothing of it under another', () => {
  const [root, name, values, hidden, none, ...rest] = lines('under-layer');
  assert.equal(root, 'commonhv: CPUID 4F000000H is 0x4f000003 0x6d6d6f43 0x56486e6f 0x66746e49');
  assert.equal(name, '  CommonHVIntf, with its RNG at MSR 0x400000a0');
  const [, first, second] = /^ {2}random values (0x[0-9a-f]{16}) (0x[0-9a-f]{16})$/.exec(values!) ?? [];
  assert.ok(first !== undefined && first !== second, values);
  assert.equal(hidden, 'maskCommonhv: CPUID 4F000000H is 0x00000000 0x00000000 0x00000000 0x00000000');
  assert.deepEqual([none, ...rest], ['  no CommonHV']);
});

test('own-hypervisor: a right layer of one’s own breaks no rule, a wrong one the rule that it is shown', () => {
  const found = lines('own-hypervisor');
  const at = found.findIndex((line) => line.startsWith('careless'));
  const [right, wrong] = [found.slice(0, at), found.slice(at)];
  assert.equal(right[0], 'notebook, which keeps 42 at 0x400000a8, by draft 3:');
  assert.match(right[1]!, /^ {2}[1-9]\d* passed, 0 failed, \d+ skipped$/);
  assert.match(right[2]!, /^ {2}the checker asked [1-9]\d* CPUIDs and met \d+ faults$/);
  assert.equal(right.length, 3);
  assert.equal(
    wrong[1],
    '  rng.constant failed, MUST: "RDMSR of MSR_COMMONHV_RNG MUST NOT return one constant value."',
  );
  assert.match(wrong[3]!, /^ {2}[1-9]\d* passed, 1 failed, \d+ skipped$/);
});

test('held-console: a copy’s console is released by its acknowledgement, or when the time is over', () => {
  assert.deepEqual(lines('held-console'), [
    'a copy that reseeds: released: the guest has reseeded',
    '  its output came after that',
    'a copy that does not: released: no acknowledgement in time',
    '  its output came after that',
  ]);
});
