/** commonhv-host.c against `commonhv/hypervisor`: the same description, the same answers, and the same report of the checker. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { resolve } from 'node:path';
import { test } from 'node:test';
import { bare } from 'commonhv';
import { type Config, fromConfig } from 'commonhv/hypervisor';
import fc from 'fast-check';
import { skipUnless } from './support/require.ts';
import { repetitions } from './support/time.ts';

const OUT = resolve('.cache/preload');
const PROGRAM = `${OUT}/host-probe`;
const SOURCES = ['test/support/host-probe.c', 'c/host/commonhv-host.c', 'c/host/commonhv-text.c'];
const skip = skipUnless('cc', spawnSync('cc', ['--version']).status === 0, 'no C compiler');
if (skip === false) {
  mkdirSync(OUT, { recursive: true });
  const flags = ['-O1', '-Wall', '-Wextra', '-Werror', '-std=gnu11', '-fsanitize=undefined,address'];
  const { status, stderr } = spawnSync('cc', [...flags, '-o', PROGRAM, ...SOURCES], { encoding: 'utf8' });
  assert.equal(status, 0, stderr);
}

/** The program's answers to lines, or its error. */
function ask(words: readonly string[], lines: readonly string[]): { error: string } | { answers: string[] } {
  const { status, stdout, stderr } = spawnSync(PROGRAM, words, {
    input: `${lines.join('\n')}\n`,
    encoding: 'utf8',
  });
  if (status !== 0) return { error: stderr };
  return { answers: stdout.trim().split('\n').slice(1) };
}
function answersOf(words: readonly string[], lines: readonly string[]): string[] {
  const result = ask(words, lines);
  assert.ok('answers' in result, `${words}: ${'error' in result && result.error}`);
  return result.answers;
}

const hex = (value: number): string => value.toString(16).padStart(8, '0');
const latin1 = (text: string): string => Buffer.from(text, 'latin1').toString('hex');

const SIGNATURES = [
  'KVMKVMKVM\0\0\0',
  'Microsoft Hv',
  'Linux KVM Hv',
  'XenVMMXenVMM',
  'VMwareVMware',
  'abcdefghijkl',
];
const tuple = fc.record({
  signature: fc.constantFrom(...SIGNATURES),
  location: fc.integer({ min: 0, max: 0xffff_ffff }),
});
// None that the architecture defines: those the C leaves to its caller.
const odd = fc.constantFrom(0x4000_0000, 0x4000_00a0, 0x4000_00a1, 0x4000_00b0, 0x4000_0200, 0x4b56_4d01);
const msr = (usual: number): fc.Arbitrary<number> =>
  fc.oneof({ weight: 4, arbitrary: fc.constant(usual) }, { weight: 1, arbitrary: odd });
const config: fc.Arbitrary<Config> = fc
  .record({
    draft: fc.constantFrom(1 as const, 2 as const, 3 as const, 3 as const),
    hypervisorBit: fc.boolean(),
    interfaces: fc.array(tuple, { maxLength: 5 }),
    rng: fc.option(fc.record({ msr: msr(0x4000_00a0), ignores: fc.boolean() }), { nil: undefined }),
    generation: fc.option(msr(0x4000_00a1), { nil: undefined }),
    preferred: fc.oneof({ weight: 3, arbitrary: fc.constant(0) }, fc.nat(6)),
  })
  .map(({ draft, hypervisorBit, interfaces, rng, generation, preferred }) => ({
    ...{ draft, hypervisorBit, interfaces },
    ...(rng && { rng: { source: 'os' as const, msr: rng.msr, input: rng.ignores ? 'ignore' : 'none' } }),
    ...(generation !== undefined && { generation: { msr: generation, ack: false } }),
    ...(preferred > 0 && { preferred }),
  }));

function words({ draft, hypervisorBit, interfaces, rng, generation, preferred }: Config): string[] {
  return [
    ...[`draft=${draft}`, `hypervisor-bit=${hypervisorBit ? 1 : 0}`, 'list=1', 'ack=0'],
    ...(interfaces ?? []).map(({ signature, location }) => `interface=${latin1(signature)}@${hex(location)}`),
    rng ? `rng=${hex(rng.msr!)}` : 'rng=none',
    `input=${rng?.input ?? 'none'}`,
    generation ? `generation=${hex(generation.msr!)}` : 'generation=none',
    ...(preferred ? [`prefer=${preferred}`] : []),
  ];
}

test('the same descriptions are refused, and the others have the same leaves and the same faults', {
  skip,
}, () => {
  let accepted = 0;
  const runs = repetitions(150, 40);
  fc.assert(
    fc.property(config, (options) => {
      let layer: ReturnType<ReturnType<typeof fromConfig>> | undefined;
      try {
        layer = fromConfig(options)(bare);
      } catch {}
      // Draft 2 lists by order; the text form sorts for it, so an index there is not refused.
      if (options.draft !== 3 && options.preferred !== undefined) return;
      const leaves = [
        0x4eff_ffff, 0x4f00_0000, 0x4f00_0001, 0x4f00_0002, 0x4f00_0003, 0x4f00_0004, 0x4fff_ffff,
      ];
      const queries = leaves.flatMap((leaf) =>
        [0, 1, 2, 3, 6, 0xffff_ffff].map((subleaf) => [leaf, subleaf] as const),
      );
      const indices = [options.rng?.msr, options.generation?.msr, 0x4000_00a2].filter(
        (index) => index !== undefined,
      );
      const lines = [
        ...queries.map(([leaf, subleaf]) => `c ${hex(leaf)} ${hex(subleaf)}`),
        ...indices.flatMap((index) => [`r ${hex(index)}`, `w ${hex(index)} 0 5`]),
      ];
      const result = ask(words(options), lines);
      assert.equal('answers' in result, layer !== undefined, JSON.stringify(result));
      if (!('answers' in result) || layer === undefined) return;
      accepted++;
      const expected = queries.map(([leaf, subleaf]) => {
        const { eax, ebx, ecx, edx } = layer.cpuid(leaf, subleaf);
        return `c ${[eax, ebx, ecx, edx].map(hex).join(' ')}`;
      });
      assert.deepEqual(result.answers.slice(0, queries.length), expected);
      for (const [i, index] of indices.entries()) {
        const [read, written] = result.answers.slice(queries.length + 2 * i);
        assert.equal(read === 'r #gp', layer.rdmsr(index) === '#GP', `RDMSR ${hex(index)}`);
        assert.equal(written === 'w #gp', layer.wrmsr(index, 5n) === '#GP', `WRMSR ${hex(index)}`);
      }
    }),
    { numRuns: runs, seed: 18 },
  );
  assert.ok(accepted > runs / 10, `${accepted} of ${runs} accepted`);
});

test('the table for KVM has each leaf once, with every subleaf of the list', { skip }, () => {
  const list = ['list=1', `interface=${latin1('VMwareVMware')}@40000000`];
  assert.deepEqual(answersOf(list, ['e']), ['e 4f000000.0 4f000001.0 4f000001.1 4f000002.0 4f000003.0']);
  const first = ['draft=1', 'input=ignore', 'generation=none', 'ack=0', ...list];
  assert.deepEqual(answersOf(first, ['e']), ['e 4f000000.0 4f000001.0 4f000002.0']);
  assert.deepEqual(answersOf(['rng=none', 'generation=none', 'ack=0', 'list=1'], ['e']), [
    'e 4f000000.0 4f000001.0 4f000002.0',
  ]);
});

test('acknowledgement: the current value is accepted, and reported once a generation', { skip }, () => {
  const [before] = answersOf([], ['r 400000a1']);
  assert.match(before!, /^r (?!00000000)\w{8} (?!00000000)\w{8}$/);
  const folder = mkdtempSync(`${OUT}/fifo-`);
  const child = spawnSync(
    'sh',
    [
      '-c',
      `
    mkfifo "$1/in" "$1/out"; "$0" <"$1/in" >"$1/out" & exec 3>"$1/in" 4<"$1/out"
    read _ <&4; echo r 400000a1 >&3; read _ hi lo <&4
    for line in "w 400000a1 $hi $lo" "w 400000a1 $hi $lo" "w 400000a1 $hi 0" p x "w 400000a1 $hi $lo" p; do
      echo "$line" >&3; read answer <&4; echo "$answer"
    done`,
      PROGRAM,
      folder,
    ],
    { encoding: 'utf8', timeout: 20_000 },
  );
  rmSync(folder, { recursive: true });
  const lines = child.stdout.trim().split('\n');
  assert.deepEqual(lines.slice(0, 3), ['w', 'w', 'w #gp']);
  assert.match(lines[3]!, / 1$/);
  assert.deepEqual(lines.slice(4, 6), ['x', 'w #gp']);
  assert.match(lines[6]!, / 1$/);
});

test('a restore without a source is refused, also where only the RNG is offered', { skip }, () => {
  for (const only of [[], ['generation=none', 'ack=0']])
    assert.deepEqual(answersOf(only, ['x', 'f', 'x', 'r 400000a0']), ['x', 'f', 'x refused', 'r #gp']);
  assert.deepEqual(answersOf(['rng=none', 'generation=none', 'ack=0'], ['f', 'x']), ['f', 'x']);
});

test('generation page: stored at once, at each restore, and forgotten at reset', { skip }, () => {
  const answers = answersOf(
    ['page=400000a2'],
    [
      ...['r 400000a2', 'w 400000a2 0 5001', 'r 400000a2', 'p', 'r 400000a1', 'x', 'p', 'r 400000a1'],
      ...['w 400000a2 0 5003', 'w 400000a2 0 5000', 'w 400000a2 1 5001', 'w 400000a2 0 100001', 'r 400000a2'],
      ...['y', 'r 400000a2', 'w 400000a2 0 6001', 'w 400000a2 0 0', 'r 400000a2'],
    ],
  );
  const stored = (read: string): string => read.replace(/^r | /g, '');
  assert.deepEqual(answers.slice(0, 3), ['r 00000000 00000000', 'w', 'r 00000000 00005001']);
  assert.equal(answers[3], `p 5000 ${stored(answers[4]!)} 0`);
  assert.equal(answers[6], `p 5000 ${stored(answers[7]!)} 0`);
  assert.notEqual(answers[4], answers[7]);
  assert.deepEqual(answers.slice(8, 13), [...Array(4).fill('w #gp'), 'r 00000000 00005001']);
  assert.deepEqual(answers.slice(13), ['y', 'r 00000000 00000000', 'w', 'w', 'r 00000000 00000000']);
});

test('verify finds no failure, for each draft', { skip }, () => {
  for (const draft of [
    ['draft=1', 'input=ignore', 'generation=none', 'ack=0'],
    ['draft=2', 'generation=none', 'ack=0'],
    ['draft=3', 'ack=0'],
  ]) {
    const command = `exec ${PROGRAM} list=1 ${draft.join(' ')}; : {probe}`;
    const args = ['dist/cli/bin.cjs', 'verify', '--exec', command, '--format', 'json'];
    const { status, stdout, stderr } = spawnSync(process.execPath, args, {
      encoding: 'utf8',
      timeout: 60_000,
    });
    assert.equal(status, 0, stdout + stderr);
    assert.equal(JSON.parse(stdout).failed, 0);
  }
});
