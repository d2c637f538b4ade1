/** `commonhv clones` as a process: the user's own commands, files, bad input, and the sampler itself. */
import assert from 'node:assert/strict';
import { execFile, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { compare, SampleReader } from 'commonhv/clones';
import { noCompiler32 } from './support/compiler.ts';
import { lines, own } from './support/fake-vmm.ts';
import { scaled } from './support/time.ts';

const limit = { timeout: scaled(60_000) };
const folder = mkdtempSync(join(tmpdir(), 'commonhv-clones-'));
after(() => rmSync(folder, { recursive: true, force: true }));
const FAKE = `${process.execPath} build/test/support/fake-vmm.js`;

const clones = (...args: readonly string[]) => clonesWith({}, ...args);
function clonesWith(
  env: Readonly<Record<string, string>>,
  ...args: readonly string[]
): Promise<{ status: number | null; stdout: string; stderr: string }> {
  return new Promise((resolve) => {
    const child = execFile(
      process.execPath,
      ['dist/cli/bin.js', 'clones', ...args],
      { timeout: scaled(50_000), env: { ...process.env, ...env } },
      (_, stdout, stderr) => resolve({ status: child.exitCode, stdout, stderr }),
    );
  });
}

/** Seconds that no other process on this machine sleeps: what is left running is found by it. */
const LONG = 10_000_000 + process.pid;
const resume = (mode: string): string => `${FAKE} resume {state} {copy} ${mode}; sleep 0.2`;
const save = `${FAKE} save {state}`;

test('the user’s own commands: alike, parted, different', limit, async () => {
  const run = (mode: string, ...more: readonly string[]) =>
    clones('--save', save, '--resume', resume(mode), '--seconds', '1', '--format', 'json', ...more);
  const [bare, polled, allowed, good] = await Promise.all([
    run('bare'),
    run('polled'),
    run('polled', '--allow-window', 'getrandom=50'),
    run('good'),
  ]);
  assert.deepEqual([bare.status, polled.status, allowed.status, good.status], [1, 1, 0, 0], bare.stderr);
  assert.equal(JSON.parse(bare.stdout).result, 'copies are alike: getrandom to the end');
  assert.equal(JSON.parse(polled.stdout).sources[0].milliseconds, 20);
});

test('consoles that were recorded elsewhere', limit, async () => {
  const seed = own();
  const files = [1, 2].map((copy) => {
    const path = join(folder, `console-${copy}`);
    writeFileSync(path, `boot\n${lines(seed, copy, 'good')}`);
    return path;
  });
  const { status, stdout } = await clones('--from', ...files);
  assert.equal(status, 0);
  assert.match(stdout, /getrandom .* different from the first sample\n/);
  const misnamed = await clones('--allow-window', 'nosuch=5', '--from', ...files);
  assert.deepEqual([misnamed.status, misnamed.stdout], [2, '']);
  assert.match(
    misnamed.stderr,
    /^commonhv: --allow-window nosuch: no source has this name; there are getrandom, once, .*\n$/,
  );
  writeFileSync(join(folder, 'empty'), 'nothing');
  const empty = await clones('--from', files[0]!, join(folder, 'empty'));
  assert.deepEqual([empty.status, empty.stdout], [2, '']);
  assert.match(empty.stderr, /^commonhv: --from .*empty: no line of commonhv-sampler in it .*\n$/);
});

test('a copy that is a daemon, with its console at a socket, is recorded and ended', limit, async () => {
  const socket = join(folder, 'socket-{copy}');
  const daemon = (mode: string, status = 0) => [
    ...['--save', save, '--console', `unix:${socket}`, '--seconds', '1', '--resume'],
    `setsid ${FAKE} serve {state} {copy} ${mode} ${socket} >/dev/null 2>&1 & exit ${status}`,
  ];
  const good = await clones(...daemon('good'));
  assert.equal(good.status, 0, good.stderr);
  const running = () => readdirSync('/proc').filter((pid) => commandOf(pid).includes(`${folder}/socket-`));
  assert.deepEqual(running(), []);
  for (const copy of [1, 2, 3]) rmSync(join(folder, `socket-${copy}`), { force: true });
  const failed = await clones(...daemon('good', 5));
  assert.equal(failed.status, 2);
  assert.match(failed.stderr, /--resume, copy 1: the command ended with status 5\n$/);
  assert.deepEqual(running(), []);
});

test('consoles from pipes: the writers come late, and in pieces', limit, async () => {
  const seed = own();
  const writers = [1, 2].map((copy) => {
    const path = join(folder, `pipe-${copy}`);
    assert.equal(spawnSync('mkfifo', [path]).status, 0);
    const file = join(folder, `piped-${copy}`);
    writeFileSync(file, lines(seed, copy, 'good'));
    const script = `{ sleep 0.3; head -c 5000 ${file}; sleep 0.3; tail -c +5001 ${file}; } >${path}`;
    return { path, child: spawn('sh', ['-c', script], { stdio: 'ignore' }) };
  });
  const { status, stderr } = await clones('--from', ...writers.map(({ path }) => path));
  for (const { child } of writers) child.kill();
  assert.equal(status, 0, stderr);
});

test('an interrupt ends a recording at once, and the copy', limit, async () => {
  const seed = join(folder, 'seed');
  writeFileSync(seed, own());
  const resumed = `${FAKE} resume ${seed} {copy} good; touch ${folder}/recording; exec sleep ${LONG}`;
  const child = spawn(
    process.execPath,
    ['dist/cli/bin.js', 'clones', '--resume', resumed, '--seconds', '50'],
    {
      stdio: ['ignore', 'ignore', 'pipe'],
    },
  );
  let said = '';
  child.stderr.on('data', (bytes) => {
    said += bytes;
  });
  const ended = once(child, 'exit');
  while (child.exitCode === null && !existsSync(join(folder, 'recording'))) await setTimeout(50);
  await setTimeout(500);
  child.kill('SIGINT');
  const [status] = await ended;
  assert.deepEqual([status, said], [2, 'commonhv: interrupted\n']);
  assert.deepEqual(
    readdirSync('/proc').filter((pid) => commandOf(pid).startsWith(`sleep\0${LONG}`)),
    [],
  );
});

const mistakes: readonly (readonly [args: readonly string[], message: RegExp])[] = [
  [[], /^commonhv: clones takes one of: --from/],
  [['--save', 'true'], /--save goes with --resume/],
  [['--from', 'one'], /--from: expected the consoles of two copies/],
  [['--from', 'no-such', 'file'], /--from no-such: there is no such file/],
  [['--from', '.', 'file'], /--from \.: it is a folder/],
  [['--copies', '1', '--resume', 'true'], /Expected 2 to 100 copies/],
  [['--from', 'a', 'b', '--copies', '2'], /--copies has no effect with --from/],
  [['--from', 'a', 'b', '--seconds', '1'], /--seconds has no effect with --from/],
  [['--from', 'a', 'b', '--no-generation-page'], /--no-generation-page has no effect with --from/],
  [['--sampler', 'F', '--from', 'a'], /--from has no effect with --sampler/],
  [['package.json', '--save', 'x'], /--save has no effect with an image/],
  [['image', '--sampler', 'F'], /an image has no effect with --sampler/],
  [['--companions', 'F', '--from', 'a'], /--from has no effect with --companions/],
  [['--companions', 'F', '--sampler', 'a'], /--companions has no effect with --sampler/],
  [['image', '--arch', 'i386'], /--arch has no effect with an image/],
  [['--resume', 'true', '--memory', '64M'], /--memory has no effect with --resume/],
  [['--allow-window', 'x', '--resume', 'true'], /Expected \[SOURCE=\]MS/],
  [
    ['--save', 'echo sorry >&2; exit 3', '--resume', 'true'],
    /--save: the command ended with status 3: sorry/,
  ],
  [
    ['--save', `sleep ${LONG}`, '--resume', 'true', '--timeout', '0.5'],
    /--save: the command did not end within 0.5 s \(--timeout\): sleep 1\d{7}\b/,
  ],
  [
    ['--save', `sleep ${LONG} >/dev/null 2>&1 & true`, '--resume', 'true'],
    /--save: the command left processes running; they were ended/,
  ],
  [['--resume', 'echo gone >&2; exit 4'], /--resume, copy 1: the command ended with status 4: gone/],
  [
    ['--resume', `sleep ${LONG}`, '--timeout', '0.5'],
    /--resume, copy 1: no sample within 0.5 s: does commonhv-sampler run/,
  ],
  [
    ['--save', save, '--resume', `[ {copy} = 1 ] || exit 1; ${resume('bare')}`, '--seconds', '1'],
    /--resume, copy 2: the command ended with status 1/,
  ],
];
for (const [args, message] of mistakes) {
  test(
    `clones ${args.join(' ').replaceAll(`${LONG}`, 'LONG')}: one line, exit 2, nothing left running`,
    limit,
    async () => {
      const { status, stdout, stderr } = await clones(...args);
      assert.deepEqual([status, stdout], [2, ''], stderr);
      assert.match(stderr, message);
      assert.equal(stderr.trimEnd().split('\n').length, 1);
      assert.deepEqual(
        readdirSync('/proc').filter(
          (pid) => /^\d+$/.test(pid) && commandOf(pid).startsWith(`sleep\0${LONG}`),
        ),
        [],
      );
    },
  );
}

function commandOf(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'latin1');
  } catch {
    return '';
  }
}

test('a guest that is silent, or no Linux, is told of before the wait is over', limit, async () => {
  const silent = await clones('--resume', `sleep ${LONG}`, '--timeout', '6');
  assert.equal(silent.status, 2);
  assert.match(
    silent.stderr,
    /^commonhv: nothing heard yet, \d s left: the guest has to run commonhv-sampler.*\n.*no sample within 6 s/,
  );
  const { stdout } = await clones('--help');
  assert.match(stdout.replace(/\s+/g, ' '), /--timeout <seconds> end after this long \(default: 120\)/);
});

test('the sampler prints whole lines, its generator repeats nothing, and refuses bad words', {
  ...limit,
  skip: noCompiler32,
}, async () => {
  const nowhere = await clones('--sampler', join(folder, 'no/folder'));
  assert.equal(nowhere.status, 2);
  assert.match(nowhere.stderr, /^commonhv: --sampler .*no\/folder: there is no such folder\n$/);
  for (const arch of ['amd64', 'i386']) {
    const path = join(folder, `sampler-${arch}`);
    assert.equal((await clones('--sampler', path, '--arch', arch)).status, 0);
    const words = [
      '--steps',
      '50',
      '--file',
      `data=${path}`,
      '--run',
      'counter=i=0; while read -r x; do i=$((i+1)); echo $i; done',
    ];
    const { status, stdout } = spawnSync(path, words);
    assert.equal(status, 0);
    const reader = new SampleReader(arch);
    reader.feed(stdout);
    const { steps, sources, damaged } = reader.recording();
    assert.deepEqual([steps.length, damaged], [50, 0]);
    for (const name of ['getrandom', 'once', 'uuid', 'counter'])
      assert.equal(new Set(sources.get(name)).size, 50, name);
    for (const name of ['boot-id', 'data']) assert.equal(new Set(sources.get(name)).size, 1, name);
    assert.equal(spawnSync(path, ['--nonsense']).status, 2);
    // Two processes are no copies: the control says so.
    const other = new SampleReader('other');
    other.feed(spawnSync(path, words).stdout);
    assert.equal(compare([reader.recording(), other.recording()]).differ, undefined);
  }
});

test('companions: scripts, and Go’s where it can be compiled; without Go a line says so', limit, async () => {
  const tools = mkdtempSync(join(folder, 'tools-'));
  const into = join(folder, 'companions');
  const none = await clonesWith({ PATH: tools }, '--companions', into);
  assert.equal(none.status, 0);
  assert.equal(
    none.stdout,
    'commonhv-sampler --run node=./node --run python=./python --run openssl=./openssl\n',
  );
  assert.equal(none.stderr, 'commonhv: the companion go is left out: no Go toolchain (go) in PATH\n');
  const { stdout } = spawnSync(join(into, 'node'), { input: '\n', encoding: 'utf8' });
  assert.match(stdout, /^[0-9a-f]{8}-[0-9a-f-]{27}\n$/);

  const go = join(tools, 'go');
  const compiler = (script: string) => writeFileSync(go, `#!/bin/sh\n${script}\n`, { mode: 0o755 });
  compiler('echo "$GOOS $GOARCH $CGO_ENABLED $*" >"$5"');
  const made = await clonesWith({ PATH: tools }, '--companions', into, '--arch', 'i386');
  assert.deepEqual([made.status, made.stderr], [0, '']);
  assert.match(made.stdout, / --run go=\.\/go\n$/);
  assert.match(readFileSync(join(into, 'go'), 'utf8'), /^linux 386 0 build .*go\.go\n$/);
  compiler('echo "go.go:1:1: broken" >&2; exit 1');
  const broken = await clonesWith({ PATH: tools }, '--companions', into);
  assert.equal(broken.stderr, 'commonhv: the companion go is left out: go build: go.go:1:1: broken\n');
  const nowhere = await clones('--companions', join(into, 'node', 'below'));
  assert.equal(nowhere.status, 2);
  assert.match(nowhere.stderr, /^commonhv: --companions .*: [^\n]*\n$/);
});
