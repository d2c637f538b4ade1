/** `run --save`, `--resume` and `--copies` on both engines: a guest goes on where it was, and each copy is another machine. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { HALT, kernel, SPIN, send } from './support/guests.ts';
import { notInBed, skip } from './support/kvm-availability.ts';
import { scaled } from './support/time.ts';

const folder = mkdtempSync(join(tmpdir(), 'commonhv-run-'));
after(() => rmSync(folder, { recursive: true, force: true }));
const file = (name: string): string => join(folder, name);

function run(input: string, ...args: readonly string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, ['dist/cli/bin.js', 'run', ...args], {
    encoding: 'utf8',
    input,
    timeout: scaled(60_000),
  });
  return { status, stdout, stderr };
}

/** What the probe answers to a read of the generation. */
const GENERATION = /^r ([0-9a-f]{8}) ([0-9a-f]{8})\r?$/m;

for (const engine of ['kvm', 'v86'] as const) {
  const limit = { skip: engine === 'kvm' ? skip : notInBed, timeout: scaled(120_000) };

  test(`${engine}: a saved probe is resumed, and each time with another generation`, limit, () => {
    const state = file(`probe-${engine}`);
    const saved = run('', '--engine', engine, '--memory', '4M', '--save', state);
    assert.deepEqual([saved.status, saved.stderr], [0, `commonhv: the probe was saved to ${state}\n`]);
    const generations = [1, 2].map(() => {
      const { status, stdout, stderr } = run(
        'r 400000a1\nq\n',
        '--engine',
        engine,
        '--resume',
        state,
        '--timeout',
        '20',
      );
      assert.equal(status, 0, stdout);
      assert.match(stderr, /^commonhv: the guest powered off/);
      return GENERATION.exec(stdout)![0];
    });
    assert.notEqual(generations[0], generations[1]);
  });

  test(`${engine}: an image is saved when it prints a text, and its copies go on from there`, limit, () => {
    const image = file('image');
    writeFileSync(image, kernel([...[...'one two\n'].flatMap(send), ...HALT]));
    const state = file(`image-${engine}`);
    const args = ['--engine', engine, '--memory', '4M', '--save', state, '--save-at', 'one'];
    const saved = run('', ...args, image);
    // The guest may have printed all of it, and halted, before it is stopped.
    if (saved.status === 2) assert.match(saved.stderr, /; it was not saved\n$/);
    const spinner = file('spinner');
    writeFileSync(spinner, kernel([...send('x'), ...SPIN]));
    const spins = run('', '--engine', engine, '--memory', '4M', '--save', state, '--save-at', 'x', spinner);
    assert.deepEqual([spins.status, spins.stdout], [0, 'x'], spins.stderr);
    const copies = run('', '--engine', engine, '--resume', state, '--copies', '3', '--timeout', '1');
    assert.equal(copies.status, 2);
    for (const number of [1, 2, 3]) {
      assert.match(
        copies.stderr,
        new RegExp(`^commonhv: copy ${number}: the guest still ran after 1 s`, 'm'),
      );
    }
  });
}

test('a state that is none, or goes with nothing, is one line and exit 2, and leaves no file', {
  skip: notInBed,
}, () => {
  writeFileSync(file('none'), 'nothing');
  const refused: [readonly string[], RegExp][] = [
    [
      ['--resume', file('none')],
      /^commonhv: state: not a machine that was saved by this version of the v86 engine\n$/,
    ],
    [['--resume', file('missing')], /^commonhv: --resume .*missing: there is no such file\n$/],
    [['--save-at', 'x'], /^commonhv: --save-at goes with --save\n$/],
    [['--copies', '2'], /^commonhv: --copies goes with --resume\n$/],
    [['--resume', file('none'), '--memory', '4M'], /^commonhv: --memory goes with an image; /],
    [['--vmgenid'], /^commonhv: --vmgenid goes with an image\n$/],
    [['--resume', file('none'), '--vmgenid'], /^commonhv: --vmgenid goes with an image; /],
    [['--resume', file('none'), file('none')], /^commonhv: --resume goes without an image\n$/],
    [['--resume', file('none'), '--copies', '0'], /Expected 1 to 1000\.\n$/],
    [['--memory', '4M', '--save', join(folder, 'no', 'folder')], /^commonhv: --save .*: ENOENT\n$/],
  ];
  for (const [args, message] of refused) {
    const { status, stderr } = run('', ...args);
    assert.equal(status, 2, stderr);
    assert.match(stderr, message);
  }
  assert.ok(!existsSync(file('no')));
  assert.deepEqual(
    readdirSync(folder).filter((name) => name.endsWith('.part')),
    [],
  );
});
