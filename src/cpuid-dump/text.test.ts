/** Dumps as people send them: truncated, contradicting, of other tools, and noise. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { parseDump } from './text.ts';

const LEAF_0 = '   0x00000000 0x00: eax=0x0000000d ebx=0x756e6547 ecx=0x6c65746e edx=0x49656e69';
const LEAF_1 = '   0x00000001 0x00: eax=0x00a00f11 ebx=0x00020800 ecx=0xf7f83203 edx=0x178bfbff';
const KVM = '   0x40000000 0x00: eax=0x40000001 ebx=0x4b4d564b ecx=0x564b4d56 edx=0x0000004d';

test('what cpuid -r and cpuid -1 -r print, with any line ends, and with no header', () => {
  for (const text of [
    `CPU 0:\n${LEAF_0}\n${LEAF_1}\n${KVM}\n`,
    `CPU:\r\n${LEAF_0}\r\n${LEAF_1}\r\n${KVM}`,
    `${LEAF_0}\n${LEAF_1}\n${KVM.replaceAll('0x4b4d564b', '0x4B4D564B')}`,
  ]) {
    const { cpus, problems } = parseDump(text);
    assert.deepEqual(problems, []);
    assert.equal(cpus.length, 1);
    assert.deepEqual(
      cpus[0]?.map(({ leaf, ebx, indexed }) => [leaf, ebx, indexed]),
      [
        [0, 0x756e6547, false],
        [1, 0x00020800, false],
        [0x40000000, 0x4b4d564b, false],
      ],
    );
  }
});

test('each processor is a snapshot; subleaves that all say the same take no index', () => {
  const three = [0, 1, 2].map((i) => KVM.replace('0x00:', `0x0${i}:`).replace('40000000 ', '40000003 '));
  const other = three.map((line, i) => line.replace('0000004d', `0000004${i}`));
  const { cpus } = parseDump(`CPU 0:\n${three.join('\n')}\nCPU 1:\n${other.join('\n')}\n`);
  assert.deepEqual(
    cpus.map((rows) => rows.map(({ subleaf, indexed }) => `${subleaf} ${indexed}`)),
    [['0 false'], ['0 true', '1 true', '2 true']],
  );
});

test('damaged and contradicting rows are reported, in one line each', () => {
  const problems = (text: string) => parseDump(text).problems;
  const damaged = 'is damaged or cut off: expected a leaf and four registers';
  assert.deepEqual(problems(`CPU 0:\n${LEAF_0}\n${LEAF_1}\n${KVM.slice(0, 40)}`), [`line 4 ${damaged}`]);
  assert.deepEqual(problems(`${LEAF_0}\nHere is the next:\n${KVM}\n`), []);
  assert.deepEqual(problems(`${LEAF_1}\n${KVM}\n${KVM.replace('40000001', '40000002')}\n${KVM}`), [
    'line 3 contradicts an earlier one and is ignored',
  ]);
  assert.deepEqual(problems(''), ['no leaf could be read']);
  assert.deepEqual(problems('processor\t: 0\nvendor_id\t: GenuineIntel\n'), [
    'no leaf could be read: /proc/cpuinfo holds no CPUID leaves; run cpuid -r or commonhv dump on that machine',
  ]);
});

test('a row of cpuid -r with another number of digits is damaged and not recorded', () => {
  const read = (text: string) => {
    const { cpus, problems } = parseDump(text);
    return [cpus.map((dump) => dump.map(({ leaf }) => leaf)), problems];
  };
  const problem = 'line 3 is damaged: expected 8 digits in each value, as in the other rows';
  const damages: readonly (readonly [RegExp, string])[] = [
    [/0x40000000/, '0x4000000'],
    [/0x40000000/, '0x4000000O'],
    [/0x40000000/, '0x400000000'],
    [/ebx=0x4b4d564b/, 'ebx=0x4b4d564'],
    [/ebx=0x4b4d564b/, 'ebx=0x4b4d564b0'],
    [/ecx=0x564b4d56/, 'ecx=0x564b4dO6'],
  ];
  for (const [digits, damage] of damages) {
    const row = KVM.replace(digits, damage);
    assert.deepEqual(read([LEAF_0, LEAF_1, row].join('\n')), [[[0, 1]], [problem]], row);
    // Beside another heading, which is no rest of the row; and in a text whose line ends were lost.
    assert.deepEqual(read(`${LEAF_0}\n${LEAF_1}\n${row}\nCPU 1:\n`), [[[0, 1]], [problem]], row);
    assert.deepEqual(read([LEAF_0, row, LEAF_1].join(' ')), [
      [[0, 1]],
      [problem.replace('line 3', 'line 1')],
    ]);
  }
  const short = KVM.replace('0000004d', '000004d');
  const [leaves, problems] = read(['CPU 0:', LEAF_0, LEAF_1, short, 'CPU 1:', LEAF_0].join('\n'));
  assert.deepEqual([leaves, problems?.length], [[[0, 1], [0]], 1]);
  // A tool that prints no leading zeros.
  const zeros = KVM.replace('564b4d56', '00000001');
  const bare = [LEAF_0, LEAF_1, zeros].map((row) => row.replaceAll(/0x0+(?=[\da-f])/g, '0x'));
  assert.deepEqual(read(bare.join('\n')), [[[0, 1, 0x4000_0000]], []]);
  // The row that is left out proves no absence.
  const lost = KVM.replace('0x40000000', '0x4000000');
  assert.equal(parseDump([LEAF_0, LEAF_1, lost].join('\n')).processors[0]?.excerpt, true);
});

test('JSON that is truncated, of another shape, or with rows that are not leaves', () => {
  const problems = (text: string) => parseDump(text).problems[0];
  assert.equal(problems('{"cpus": [[{'), 'the text begins as JSON and is not: truncated?');
  assert.equal(problems('{}'), 'the JSON is not a CPUID dump: expected { "cpus": [[...]] }');
  assert.equal(problems('[1]'), 'the JSON is not a CPUID dump: expected { "cpus": [[...]] }');
  assert.equal(problems('{"cpus":[7]}'), 'no leaf could be read');
  assert.equal(
    problems('{"cpus":[[null, {"leaf":"0x1","subleaf":0,"eax":"1","ebx":0,"ecx":0,"edx":0}]]}'),
    'row 1 of the JSON is not a leaf (and 1 more)',
  );
  const big = '{"cpus":[[{"leaf":"0x100000000","subleaf":0,"eax":0,"ebx":0,"ecx":0,"edx":-1}]]}';
  assert.equal(problems(big), 'row 1 of the JSON is not a leaf');
});

test('noise never throws, and megabytes of it are read in linear time', () => {
  const piece = fc.constantFrom(
    'CPU 0:',
    'CPU:',
    LEAF_0,
    KVM,
    '\n',
    '\r',
    '{',
    '[',
    '"cpus"',
    ':',
    '0x',
    '\0',
    'é',
  );
  fc.assert(
    fc.property(fc.array(fc.oneof(piece, fc.string())), (pieces) => {
      const { cpus, problems } = parseDump(pieces.join(''));
      assert.ok(cpus.length > 0 || problems.some((problem) => problem.startsWith('no leaf could be read')));
    }),
  );
  for (const noise of ['\n', 'CPU 0:\n', '0', ' ', ' 0x', `${KVM}\n`]) {
    const before = process.cpuUsage();
    parseDump(noise.repeat(1_000_000 / noise.length));
    const { user, system } = process.cpuUsage(before);
    assert.ok(user + system < 10_000_000); // about 0.1 s; a quadratic reading takes minutes
  }
});
