/** `commonhv verify` and `probe` as people and programs meet them, without any hypervisor but ours and stand-ins. */
import assert from 'node:assert/strict';
import { execFile, spawn, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { scaled } from './support/time.ts';

const work = mkdtempSync(join(tmpdir(), 'commonhv-verify-'));
after(() => rmSync(work, { recursive: true, force: true }));
const limit = { timeout: scaled(120_000) };
const FAKE = `${process.execPath} build/test/support/fake-hypervisor.js`;

interface Ended {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
  readonly seconds: number;
}

function commonhv(...args: readonly string[]): Promise<Ended> {
  const start = performance.now();
  return new Promise((resolve) => {
    const child = execFile(
      process.execPath,
      ['dist/cli/bin.js', ...args],
      { timeout: 100_000, maxBuffer: 2 ** 24, encoding: 'latin1' },
      (_, stdout, stderr) =>
        resolve({ status: child.exitCode, stdout, stderr, seconds: (performance.now() - start) / 1000 }),
    );
  });
}

/** A stand-in's way of being wrong, and after how many questions. `: {probe}` names the image for the shell, and drops it. */
const exec = (...values: readonly string[]): readonly string[] => [
  'verify',
  '--exec',
  `: {probe}; ${FAKE} ${values.join(' ')}`,
];

test('each engine of ours, each draft: conforms, 0', limit, async () => {
  for (const draft of ['1', '2', '3']) {
    for (const engine of ['model', 'v86']) {
      const { status, stdout, stderr } = await commonhv(
        'verify',
        '--engine',
        engine,
        '--draft',
        draft,
        '--strict',
      );
      assert.equal(status, 0, stdout + stderr);
      assert.match(stdout, new RegExp(`^${engine} conforms to CommonHV draft ${draft}`));
      assert.match(stdout, /\n\d+ passed, 0 failed, \d+ skipped\n$/);
      assert.equal(stderr, '');
    }
  }
});

test(
  'v86 can be paused, restored in place and resumed, and its memory be read: none of these rules is skipped',
  limit,
  async () => {
    const { stdout } = await commonhv('verify', '--format', 'json');
    const { engine, draft, rules, controls } = JSON.parse(stdout);
    assert.deepEqual([engine, draft], ['v86', 3]);
    for (const control of ['guest memory', 'saves']) assert.ok(controls.includes(control), control);
    const page = ['value', 'ram', 'holds', 'unchanged', 'renewed', 'others', 'restored'].map(
      (id) => `page.${id}`,
    );
    for (const id of ['discovery.restored', 'rng.saved', 'generation.restored', 'generation.pause', ...page])
      assert.equal(rules.find((rule: { id: string }) => rule.id === id).outcome, 'passed', id);
  },
);

test(
  'a stuck source: not conforming, 1, and every report shows that the values are deterministic',
  limit,
  async () => {
    for (const [format, shows] of [
      ['text', /the values are deterministic: the source "stuck"/],
      ['json', /"deterministic": "stuck"/],
      ['ktap', /# the values are deterministic: the source "stuck"/],
      ['junit', /<property name="deterministic" value="stuck"\/>/],
    ] as const) {
      const args = ['--engine', 'model', '--rng-source', 'stuck', '--format', format];
      const { status, stdout } = await commonhv('verify', ...args);
      assert.equal(status, 1);
      assert.match(stdout, shows);
      assert.match(stdout, /rng\.constant/);
    }
  },
);

test(
  'run names the broken rules, and verify what is there where nothing speaks CommonHV',
  limit,
  async () => {
    const { status, stdout } = await commonhv('run', '--rng-source', 'stuck');
    assert.equal(status, 1);
    assert.match(stdout, /broken rules +.*rng\.constant.*; commonhv verify with these options shows them/);
    const absent = await commonhv('verify', '--exec', `: {probe}; ${FAKE} kvm`, '--name', 'mine');
    assert.equal(absent.status, 1, absent.stderr);
    assert.match(absent.stdout, /^mine does not speak CommonHV/);
    assert.match(absent.stdout, /CPUID 40000000H answers "KVMKVMKVM", EAX 0x40000001\.\n/);
    assert.match(absent.stdout, /finds "KVMKVMKVM" at 0x40000000, "XenVMMXenVMM" at 0x40000100\.\n/);
    assert.match(absent.stdout, /\nMore: commonhv detect --exec ': \{probe\}; .* kvm'\n/);
  },
);

test('--strict makes a failure of a SHOULD', limit, async () => {
  const args = ['verify', '--engine', 'model', '--rng-msr', '50000000'];
  assert.equal((await commonhv(...args)).status, 0);
  assert.equal((await commonhv(...args, '--strict')).status, 1);
});

test('--exec: a hypervisor on the standard streams of a command, noise and all', limit, async () => {
  for (const mode of ['good', 'noisy']) {
    const { status, stdout, stderr } = await commonhv(...exec(mode), '--format', 'json');
    assert.equal(status, 0, stdout + stderr);
    assert.deepEqual([JSON.parse(stdout).engine, JSON.parse(stdout).draft], ['node', 3]);
  }
});

test('a hypervisor that breaks under a question costs a bounded time and gets a verdict', limit, async () => {
  const modes = [
    ['hangs', 9],
    ['stops-in-a-line', 40],
    ['talks-garbage', 0],
    ['dies', 25],
  ] as const;
  await Promise.all(
    modes.map(async ([mode, count]) => {
      const { status, stdout, stderr, seconds } = await commonhv(
        ...exec(mode, `${count}`),
        '--format',
        'json',
      );
      assert.equal(status, 1, mode + stderr);
      const { rules, failed, passed, warned, skipped } = JSON.parse(stdout);
      assert.equal(failed, 1, mode);
      assert.equal(passed + failed + warned + skipped, rules.length);
      const broken = rules.find(({ outcome }: { outcome: string }) => outcome === 'failed');
      assert.match(broken.detail, /the machine broke or went silent: (CPUID|RDMSR|WRMSR) 0x/);
      assert.ok(seconds < 30, `${mode}: ${seconds} s`);
    }),
  );
});

/** A process is gone when it is no more, or when only its parent has not asked for its status yet. */
async function ends(pid: number): Promise<void> {
  for (let i = 0; i < 40; i++) {
    try {
      if (/^\d+ \(.*\) [ZX]/.test(readFileSync(`/proc/${pid}/stat`, 'latin1'))) return;
    } catch {
      return;
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  assert.fail(`process ${pid} still runs`);
}

test('a command that floods, or talks after its end, is ended too, and leaves no file', limit, async (t) => {
  const { TMPDIR } = process.env;
  t.after(() => {
    if (TMPDIR === undefined) delete process.env.TMPDIR;
    else process.env.TMPDIR = TMPDIR;
  });
  process.env.TMPDIR = join(work, 'temporary'); // of this test alone
  mkdirSync(process.env.TMPDIR);
  for (const flood of ['yes # {probe}', 'head -c 3000000 /dev/zero; sleep 3 # {probe}']) {
    const { status, stdout, stderr } = await commonhv('verify', '--timeout', '3', '--exec', flood);
    assert.deepEqual([status, stdout], [2, ''], stderr);
    assert.match(stderr, /^commonhv: [^\n]+\n$/);
  }
  const late = `trap "echo bye; sleep 0.1; echo more" TERM; ${FAKE} good; echo done; : {probe}`;
  const { status, stdout } = await commonhv('verify', '--exec', late);
  assert.equal(status, 0);
  assert.match(stdout, /passed, 0 failed/);
  assert.deepEqual(readdirSync(process.env.TMPDIR), []);
});

test('nothing that a command has started is left running', limit, async () => {
  const pids = join(work, 'pids');
  await commonhv(...exec('good', '0', pids));
  const started = readFileSync(pids, 'utf8').split(' ').map(Number);
  assert.equal(started.length, 2);
  for (const pid of started) await ends(pid);
});

test(
  'a signal ends the command with all it has started, also one that ignores it, and leaves no file, 2',
  limit,
  async () => {
    const pids = join(work, 'interrupted');
    const temporary = join(work, 'interrupted-files');
    mkdirSync(temporary);
    const stubborn = `trap '' TERM; : {probe}; ${FAKE} silent 0 ${pids}; sleep 60`;
    const child = spawn(process.execPath, ['dist/cli/bin.js', 'verify', '--exec', stubborn], {
      stdio: 'ignore',
      env: { ...process.env, TMPDIR: temporary },
    });
    for (let i = 0; i < 200; i++) {
      await new Promise((resolve) => setTimeout(resolve, 50));
      if (statSync(pids, { throwIfNoEntry: false })?.size) break;
    }
    const started = readFileSync(pids, 'utf8').split(' ').map(Number);
    assert.equal(readdirSync(temporary).length, 1);
    child.kill('SIGINT');
    assert.equal(await new Promise((resolve) => child.on('exit', resolve)), 2);
    for (const pid of started) await ends(pid);
    assert.deepEqual(readdirSync(temporary), []);
  },
);

test('--serial: sockets, with a guest that has greeted long ago', limit, async () => {
  const path = join(work, 'socket');
  for (const at of ['unix', 'tcp'] as const) {
    // The stand-in greets a line that nobody listens to yet; each connection is a later one.
    const [program, ...values] = FAKE.split(' ');
    const fake = spawn(program!, [...values, 'good'], { stdio: ['pipe', 'pipe', 'ignore'] });
    await new Promise((resolve) => fake.stdout.once('data', resolve));
    const server = createServer((socket) => {
      socket.on('data', (bytes) => fake.stdin.write(bytes)).on('error', () => {});
      fake.stdout.removeAllListeners('data').on('data', (bytes) => socket.write(bytes));
    });
    const address = await listen(server, at === 'unix' ? path : undefined);
    for (let i = 0; i < 2; i++) {
      const { status, stdout, stderr } = await commonhv('verify', '--serial', address, '--format', 'ktap');
      assert.equal(status, 0, stdout + stderr);
      assert.match(stdout, /^KTAP version 1\n/);
    }
    fake.kill();
    server.close();
  }
});

function listen(server: Server, path: string | undefined): Promise<string> {
  return new Promise((resolve) => {
    if (path !== undefined) server.listen(path, () => resolve(`unix:${path}`));
    else
      server.listen(0, '127.0.0.1', () =>
        resolve(`tcp:127.0.0.1:${(server.address() as { port: number }).port}`),
      );
  });
}

test('a peer that speaks something else: one line, 2', limit, async () => {
  const server = createServer((socket) => socket.end('220 mail.example ESMTP\r\n').on('error', () => {}));
  const address = await listen(server, undefined);
  const { status, stderr, seconds } = await commonhv('verify', '--serial', address);
  server.close();
  assert.equal(status, 2);
  assert.equal(
    stderr,
    'commonhv: --serial: the other end closed the connection, before the probe guest greeted\n',
  );
  assert.ok(seconds < 20);
});

const WRONG: readonly (readonly [readonly string[], RegExp])[] = [
  // "not found"; or "Permission denied", where a folder of PATH is closed to this user.
  [
    ['verify', '--exec', 'no-such-command {probe}'],
    /--exec: the command ended with status 127: .*no-such-command/,
  ],
  [['verify', '--exec', 'qemu-system-x86_64'], /--exec: expected \{probe\} in the command/],
  [['verify', '--exec', 'true {probe}'], /the command ended with status 0, before the probe guest greeted/],
  [['verify', '--serial', `unix:${work}/none`], /there is no such thing/],
  [['verify', '--serial', `unix:${process.cwd()}/package.json`], /--serial unix:/],
  [['verify', '--serial', 'tcp:127.0.0.1:1'], /nobody listens there/],
  [['verify', '--serial', 'tcp:127.0.0.1:99999'], /expected unix:PATH, tcp:HOST:PORT/],
  [['verify', '--serial', '/dev/null'], /it is no terminal/],
  [['verify', '--serial', '/dev/no-such-terminal'], /there is no such thing/],
  [['verify', '--serial', 'COM1'], /expected unix:PATH, tcp:HOST:PORT/],
  [
    ['verify', '--serial', 'tcp:127.0.0.1:1', '--engine', 'v86'],
    /--serial and --engine: expected one of them/,
  ],
  [
    ['verify', '--engine', 'native', '--no-rng'],
    /--no-rng has no effect with --engine native: it configures/,
  ],
  [['verify', '--exec', 'x {probe}', '--rng-msr', '5'], /--rng-msr has no effect with --exec: it configures/],
  [[...exec('silent'), '--timeout', '1'], /no greeting from the probe guest: .*within 1000 ms/],
  [['verify', '--name', ''], /--name: expected a name/],
  [['verify', '--list', '--only', 'x'], /--only has no effect with --list/],
  [['verify', '--list', '--exec', 'x'], /--exec has no effect with --list/],
  [['verify', '--list', '--format', 'junit'], /--format junit has no effect with --list/],
  [['verify', '--format', 'xml'], /Allowed choices are text, json, ktap, junit/],
  [['probe'], /required option '--write <file>' not specified/],
  [['probe', '--write', `${work}/no/such/folder`], /there is no such folder/],
  [['probe', '--write', '.'], /it is a folder/],
  [
    ['probe', '--write', '-', '--form', 'sector'],
    /Allowed choices are all, iso, multiboot, pvh, elf, bzimage, efi/,
  ],
];
test('what is wrong is one line, exit 2, nothing on standard output', limit, async () => {
  for (const [args, message] of WRONG) {
    const { status, stdout, stderr } = await commonhv(...args);
    assert.equal(status, 2, `${args.join(' ')}: ${stderr}`);
    assert.equal(stdout, '', args.join(' '));
    assert.match(stderr, message);
    assert.match(stderr, /^commonhv: [^\n]*\n$/);
  }
});

test(
  'probe --write hands out each form, by its name or by the end of the file, and on standard output',
  limit,
  async () => {
    const written = async (name: string, ...more: readonly string[]): Promise<Buffer> => {
      const path = join(work, name);
      assert.equal((await commonhv('probe', '--write', path, ...more)).status, 0);
      return readFileSync(path);
    };
    const whole = await written('probe.img');
    assert.equal(whole.length, 516_096);
    assert.deepEqual(await written('probe.iso'), whole);
    const application = await written('probe.EFI');
    assert.equal(application.subarray(0, 2).toString('latin1'), 'MZ');
    assert.deepEqual(await written('other', '--form', 'efi'), application);
    const piped = spawnSync(process.execPath, [
      'dist/cli/bin.js',
      'probe',
      '--write',
      '-',
      '--form',
      'multiboot',
    ]);
    assert.equal(piped.stdout.length, 2048);
    assert.deepEqual(piped.stdout.subarray(4, 446), whole.subarray(4, 446));
  },
);

test(
  'silence gets a hint for the hypervisor that is named, talk gets another, and neither ends the wait',
  limit,
  async () => {
    const ask = (command: string, seconds: string) =>
      commonhv('detect', '--timeout', seconds, '--exec', `${command}; : {probe}`);
    const [unnamed, qemu, vmm, talking] = await Promise.all([
      ask('exec sleep 60', '7'),
      ask(': qemu-system-x86_64 -kernel x; exec sleep 60', '7'),
      ask(': cloud-hypervisor --kernel x; exec sleep 60', '7'),
      ask('while sleep 0.5; do echo Boot failed; done', '11'),
    ]);
    for (const { status, stdout } of [unnamed, qemu, vmm, talking])
      assert.deepEqual([status, stdout], [2, '']);
    assert.match(unnamed.stderr, /^commonhv: nothing heard yet\. the guest's first serial port, COM1/);
    assert.match(qemu.stderr, /^commonhv: nothing heard yet\. QEMU: add -nographic/);
    assert.match(vmm.stderr, /^commonhv: nothing heard yet\. cloud-hypervisor: add --serial tty/);
    assert.match(
      talking.stderr,
      /^commonhv: no greeting yet, but \d+ bytes, the last of them "Boot failed": /,
    );
    for (const { stderr } of [unnamed, qemu, vmm, talking])
      assert.equal(stderr.trimEnd().split('\n').length, 2, stderr);
  },
);

test('detect and dump say in which mode they asked, and show CPL 3 where it differs', limit, async () => {
  const detect = async (mode: string, ...more: readonly string[]) => {
    const { status, stdout, stderr } = await commonhv(
      'detect',
      '--exec',
      `${FAKE} ${mode} # {probe}`,
      '--format',
      'json',
      ...more,
    );
    assert.equal(status, 0, stderr);
    return JSON.parse(stdout);
  };
  const [good, wide, split, faults, old] = await Promise.all(
    ['good', 'wide', 'split', 'faults', 'old'].map((mode) => detect(mode)),
  );
  assert.deepEqual([good.asked, good.instruction], [{ cpl: 0, bits: 32 }, undefined]);
  assert.deepEqual([wide.asked, wide.instruction], [{ cpl: 0, bits: 64 }, undefined]);
  assert.equal(split.commonhv.draft, 3);
  assert.equal(split.instruction.commonhv, null);
  assert.match(faults.instruction.error, /CPUID raised #GP in the guest \(CPL 3, 32-bit\)/);
  assert.deepEqual([old.asked, old.instruction], [{ cpl: 0, bits: 32 }, undefined]);
  assert.equal((await detect('split', '--cpl', '3')).commonhv, null);

  const text = await commonhv('detect', '--exec', `${FAKE} split # {probe}`);
  assert.match(text.stdout, /^asked at +CPL 0, 32-bit$/m);
  assert.match(text.stdout, /^at CPL 3 +the instruction shows another: /m);
  const dump = await commonhv(
    'dump',
    '--exec',
    `${FAKE} wide # {probe}`,
    '--leaf',
    '4f000000',
    '--cpl',
    '3',
    '--bits',
    '32',
  );
  assert.equal(dump.stderr, 'commonhv: asked at CPL 3, 32-bit\n');
  assert.match(dump.stdout, /0x4f000000 0x00: eax=0x4f00/);
});

test('a mode that the guest does not have is one line', limit, async () => {
  const wrong = async (...args: readonly string[]) => (await commonhv('dump', ...args)).stderr;
  assert.match(
    await wrong('--exec', `${FAKE} good # {probe}`, '--bits', '64'),
    /^commonhv: --bits 64: the guest was entered in 32-bit mode/,
  );
  assert.match(
    await wrong('--exec', `${FAKE} old # {probe}`, '--cpl', '3'),
    /^commonhv: --cpl 3: the guest runs an older image/,
  );
  assert.match(await wrong('--cpl', '3'), /--cpl has no effect with --engine native/);
  assert.match(await wrong('--exec', 'x {probe}', '--cpl', '1'), /Allowed choices are 0, 3/);
});
