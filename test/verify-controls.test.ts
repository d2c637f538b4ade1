/** `commonhv verify` with machine controls that are commands: v86 as a foreign process, and commands that go wrong. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { scaled } from './support/time.ts';

const work = mkdtempSync(join(tmpdir(), 'commonhv-controls-'));
// What the commands leave is seen here, and nobody else's.
process.env.TMPDIR = work;
after(() => rmSync(work, { recursive: true, force: true }));
const limit = { timeout: scaled(300_000) };
const FAKE = `${process.execPath} build/test/support/fake-hypervisor.js`;
const V86 = `${process.execPath} build/test/support/foreign-v86.js`;

interface Ended {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

function verify(...args: readonly string[]): Promise<Ended> {
  return new Promise((resolve) => {
    const child = execFile(
      process.execPath,
      ['dist/cli/bin.cjs', 'verify', ...args],
      { timeout: scaled(250_000), maxBuffer: 2 ** 24, encoding: 'latin1' },
      (_, stdout, stderr) => resolve({ status: child.exitCode, stdout, stderr }),
    );
  });
}

const RESTORED = ['rng.saved', 'generation.restored', 'generation.fresh', 'discovery.restored'];
/** The report of a machine that keeps the rules of restores. */
function conforms({ status, stdout, stderr }: Ended, controls: readonly string[]): void {
  assert.equal(status, 0, stdout + stderr);
  const report = JSON.parse(stdout);
  for (const control of controls)
    assert.ok(report.controls.includes(control), `${control}: ${report.controls}`);
  for (const id of RESTORED)
    assert.equal(report.rules.find((rule: { id: string }) => rule.id === id).outcome, 'passed', id);
}

test(
  'v86 as a foreign process: saved, restored in place and resumed, over standard streams',
  limit,
  async () => {
    const control = join(work, 'control');
    const ended = await verify(
      ...['--exec', `: {probe}; exec ${V86} run ${control}`],
      ...['--save', `${V86} tell ${control} save {state}`],
      ...['--restore', `${V86} tell ${control} restore {state}`],
      ...['--resume', `exec ${V86} resume ${control}-{copy} {state}`],
      ...['--format', 'json', '--name', 'foreign v86'],
    );
    conforms(ended, ['saves', 'restores in place', 'resumed copies']);
    assert.equal(JSON.parse(ended.stdout).engine, 'foreign v86');
    assert.deepEqual(
      readdirSync(work).filter((name) => name.startsWith('commonhv-state-')),
      [],
    );
  },
);

test(
  'v86 as a foreign process: resumed over serial lines that have the number of the copy',
  limit,
  async () => {
    const control = join(work, 'other');
    const [program, ...args] = `${V86} run ${control} ${control}-console0`.split(' ');
    const machine = execFile(program!, args);
    await listens(`${control}-console0`);
    try {
      const ended = await verify(
        ...['--serial', `unix:${control}-console{copy}`],
        ...['--save', `${V86} tell ${control} save {state}`],
        ...['--resume', `exec ${V86} resume ${control}-{copy} {state} ${control}-console{copy}`],
        ...['--format', 'json'],
      );
      conforms(ended, ['saves', 'resumed copies']);
    } finally {
      machine.kill();
    }
  },
);

/** Until a socket is there. */
async function listens(path: string): Promise<void> {
  for (let waited = 0; !existsSync(path); waited++) {
    assert.ok(waited < scaled(600), path);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

/** In seconds: on a busy machine the control may not be reached by then. */
const SOON = '6';
const good = ['--exec', `: {probe}; ${FAKE} good`] as const;
const WRONG: readonly (readonly [readonly string[], RegExp])[] = [
  [[...good, '--save', 'exit 3', '--restore', 'true'], /--save: the command ended with status 3\n/],
  [
    [...good, '--save', 'true', '--restore', 'echo no such snapshot >&2; false'],
    /--restore: .*status 1: no such snapshot/,
  ],
  [
    [...good, '--save', 'sleep 60', '--restore', 'true', '--timeout', SOON],
    /(--save: (the command did not end|not done)|was not verified) within \d+ s/,
  ],
  [
    [...good, '--save', 'sleep 60 >/dev/null 2>&1 & true', '--restore', 'true'],
    /--save: the command left processes running/,
  ],
  [
    [...good, '--save', 'echo saved', '--restore', 'true'],
    /--save: the command printed "saved" on its standard output/,
  ],
  [
    [...good, '--save', 'true', '--resume', 'false'],
    /--resume: the command ended with status 1, before the probe/,
  ],
  [
    [...good, '--save', 'true', '--resume', 'cat', '--timeout', SOON],
    /--resume: (no greeting|not done within \d+ s)|was not verified within/,
  ],
  [[...good, '--save', 'true'], /--save: expected --restore or --resume beside it/],
  [[...good, '--restore', 'x {state}'], /--restore: \{state\} is the file that --save writes/],
  [[...good, '--resume', ''], /--resume: expected a command/],
  [
    ['--engine', 'v86', '--save', 'x'],
    /--save has no effect with --engine v86: it goes with --exec or --serial/,
  ],
  [[...good, '--migrate', 'exit 4'], /--migrate: the command ended with status 4/],
  [[...good, '--only', 'no.rule'], /--only: no rule is called no\.rule/],
];
test('a command that fails, hangs, leaves children or prints is exit 2, with its name', limit, async () => {
  await Promise.all(
    WRONG.map(async ([args, message]) => {
      const { status, stdout, stderr } = await verify(...args);
      assert.equal(status, 2, `${args.join(' ')}: ${stdout}${stderr}`);
      assert.equal(stdout, '', args.join(' '));
      assert.match(stderr, message);
    }),
  );
});

test('a second line is a second processor', limit, async () => {
  const control = join(work, 'second');
  const [program, ...args] = `${V86} run ${control} ${control}-console`.split(' ');
  const machine = execFile(program!, args);
  await listens(`${control}-console`);
  try {
    // Another machine's line: its generation is another one, which no second processor has.
    const { status, stdout } = await verify(
      ...good,
      '--serial',
      `unix:${control}-console`,
      '--format',
      'json',
    );
    const report = JSON.parse(stdout);
    assert.equal(status, 1, stdout);
    assert.equal(report.processors, 2);
    assert.equal(report.rules.find(({ id }: { id: string }) => id === 'generation.same').outcome, 'failed');
  } finally {
    machine.kill();
  }
});

test('--list prints the rules, --only checks some of them', limit, async () => {
  const { status, stdout } = await verify('--list', '--draft', '2');
  assert.equal(status, 0);
  assert.match(stdout, /^discovery\.hypervisor-bit +SHOULD +A CommonHV hypervisor/);
  const only = await verify(
    ...good,
    '--only',
    'generation.same',
    '--only',
    'rng.exception',
    '--format',
    'json',
  );
  assert.equal(only.status, 0, only.stderr);
  const report = JSON.parse(only.stdout);
  assert.deepEqual(report.rules.map(({ id }: { id: string }) => id).sort(), [
    'generation.same',
    'rng.exception',
  ]);
  assert.equal(report.engine, 'node');
});
