/** Dumps as people send them, against the manifest: its values were typed from the reports, not printed by this project. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { DUMP_FORMATS, formatDump, parseDump } from 'commonhv/cpuid-dump';

const FOLDER = 'test/dumps';
const [, ...lines] = readFileSync(`${FOLDER}/MANIFEST.tsv`, 'utf8').trimEnd().split('\n');
const CASES = lines.map((line) => {
  const [file = '', , , verdicts = '', bit = '', interfaces = '', complete = ''] = line.split('\t');
  return { file, verdicts: verdicts === '' ? [] : verdicts.split(' | '), bit, interfaces, complete };
});

interface Machine {
  readonly name: string;
  readonly verdict: string;
  readonly answers: { readonly hypervisorBit: string };
  readonly interfaces: readonly { readonly signature: string; readonly location: string }[];
  readonly complete: boolean;
}

function detect(files: readonly string[]) {
  const args = [
    'dist/cli/bin.cjs',
    'detect',
    '--format',
    'json',
    ...files.flatMap((file) => ['--from', `${FOLDER}/${file}`]),
  ];
  return spawnSync(process.execPath, args, { encoding: 'utf8', timeout: 120_000, maxBuffer: 1 << 26 });
}

test('the manifest lists every file', () => {
  const files = readdirSync(FOLDER).filter((file) => file !== 'MANIFEST.tsv');
  assert.deepEqual(files.sort(), CASES.map(({ file }) => file).sort());
  assert.ok(CASES.length >= 72);
});

test('each dump comes out as the manifest has it', () => {
  const readable = CASES.filter(({ verdicts }) => verdicts.length > 0);
  const { status, stdout } = detect(readable.map(({ file }) => file));
  assert.equal(status, 0);
  const all: readonly Machine[] = JSON.parse(stdout).machines;
  const wrong: unknown[] = [];
  for (const { file, ...expected } of readable) {
    const path = `${FOLDER}/${file}`;
    const machines = all.filter(({ name }) => name === path || name.startsWith(`${path}, `));
    const [first] = machines;
    const list = [...(first?.interfaces ?? [])]
      .sort((a, b) => Number(a.location) - Number(b.location))
      .map(({ location, signature }) => `${location}=${signature}`);
    const seen = {
      verdicts: machines.map(({ verdict }) => verdict),
      bit: first?.answers.hypervisorBit,
      interfaces: list.join(';'),
      complete: first?.complete ? 'yes' : 'no',
    };
    if (JSON.stringify(seen) !== JSON.stringify(expected)) wrong.push({ file, seen, expected });
  }
  assert.deepEqual(wrong, []);
  for (const { file } of CASES.filter(({ verdicts }) => verdicts.length === 0)) {
    const { status, stderr } = detect([file]);
    assert.deepEqual([status, stderr.trimEnd().split('\n').length], [2, 1], stderr);
  }
});

test('every dump written in every format is read back as the same rows and numbers', () => {
  for (const { file } of CASES) {
    const { processors } = parseDump(readFileSync(`${FOLDER}/${file}`));
    const whole = processors.filter(
      ({ machine, dump }) => machine === 0 && dump.every(({ partial }) => !partial),
    );
    if (whole.length === 0) continue;
    const rows = whole.map(({ dump, number }, i) => ({ dump, number: number ?? i }));
    for (const format of DUMP_FORMATS) {
      const text = formatDump(rows, format);
      const { processors: again, problems } = parseDump(text);
      assert.deepEqual(problems, [], `${file} as ${format}`);
      assert.deepEqual(
        again.map(({ dump, number }) => ({ dump, number })),
        rows,
        `${file} as ${format}`,
      );
      assert.equal(formatDump(again, format), text, `${file} as ${format}, twice`);
    }
  }
});
