/** `commonhv preload`: its settings, its library in the cache, its refusals, and the status of the program it starts. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { skipUnless } from './support/require.ts';

const cc = skipUnless('cc', spawnSync('cc', ['--version']).status === 0, 'no C compiler');
const work = mkdtempSync(join(tmpdir(), 'commonhv-preload-cli-'));
after(() => rmSync(work, { recursive: true, force: true }));
const library = join(work, 'library.so');
writeFileSync(library, '\x7fELF stands in for COMMONHV_PRELOAD');

function preload(args: readonly string[], env: Readonly<Record<string, string>> = {}) {
  const { status, stdout, stderr } = spawnSync(process.execPath, ['dist/cli/bin.cjs', 'preload', ...args], {
    encoding: 'utf8',
    timeout: 120_000,
    env: { ...process.env, XDG_CACHE_HOME: join(work, 'cache'), ...env },
  });
  return { status, stdout, stderr };
}

test('--print shows environment and command, and starts nothing', () => {
  const { status, stdout } = preload([
    ...['--library', library, '--require', '--status', join(work, 'events'), '--rng-input', 'ignore'],
    ...[
      '--interface',
      'KVMKVMKVM@40000000',
      '--prefer',
      'KVMKVMKVM',
      '--print',
      '--',
      'vmm',
      '-name',
      "it's",
    ],
  ]);
  assert.equal(status, 0);
  assert.equal(
    stdout,
    "COMMONHV_PRELOAD='draft=3 hypervisor-bit=1 rng=400000a0 input=ignore generation=400000a1 ack=1 require=1 list=1 " +
      "interface=4b564d4b564d4b564d000000@40000000 prefer=4b564d4b564d4b564d000000' " +
      `COMMONHV_PRELOAD_STATUS=${join(work, 'events')} LD_PRELOAD=${library} vmm -name 'it'\\''s'\n`,
  );
});

test('the VMM needs no -- before it, and its options are its own', () => {
  const { status, stdout } = preload([
    '--library',
    library,
    '--print',
    'vmm',
    '-accel',
    'kvm',
    '--draft',
    '2',
    '--version',
  ]);
  assert.equal(status, 0);
  assert.match(stdout, / vmm -accel kvm --draft 2 --version\n$/);
  assert.match(stdout, /draft=3 /);
});

test('each draft and each switch has its words', () => {
  const words = (...args: string[]): string =>
    /COMMONHV_PRELOAD='([^']*)'/.exec(
      preload([...args, '--library', library, '--print', '--', 'vmm']).stdout,
    )![1]!;
  assert.equal(
    words('--draft', '1'),
    'draft=1 hypervisor-bit=1 rng=400000a0 input=ignore generation=none ack=0 require=0',
  );
  assert.equal(
    words('--draft', '2', '--no-hypervisor-bit', '--rng-msr', '400000a8'),
    'draft=2 hypervisor-bit=0 rng=400000a8 input=none generation=none ack=0 require=0',
  );
  assert.equal(
    words('--no-rng', '--no-acknowledgement', '--generation-msr', '400000a9', '--prefer', '2'),
    'draft=3 hypervisor-bit=1 rng=none input=none generation=400000a9 ack=0 require=0 prefer=2',
  );
});

const SPACE = join(work, 'with space.so');
writeFileSync(SPACE, '');
const NONE = join(work, 'none.so');
writeFileSync(NONE, 'no library');
for (const [args, line] of [
  [['--rng-input', 'mix'], /--rng-input mix: .* use ignore or none/],
  [['--rng-msr', '400000a1'], /--generation-msr: 0x400000a1 is --rng-msr already/],
  [['--library', NONE], /--library \S+none\.so: it is not the library that make -C c\/preload builds/],
  [['--library', '/nowhere.so'], /--library \/nowhere\.so: expected a file/],
  [['--library', SPACE], /--library: LD_PRELOAD cannot hold a path with a space/],
  [
    ['--library', library, '--status', '/nowhere/x'],
    /--status \/nowhere\/x: it cannot be written \(ENOENT\)/,
  ],
] as const) {
  test(`${args.join(' ').replace(work, '')}: one line, exit status 2`, () => {
    const { status, stderr, stdout } = preload([...args, '--', 'true']);
    assert.deepEqual([status, stdout], [2, '']);
    assert.match(stderr, new RegExp(`^commonhv: ${line.source}[^\\n]*\\n$`));
  });
}

test('QEMU without KVM: a line, and with --require a refusal', () => {
  const qemu = join(work, 'qemu-system-x86_64');
  writeFileSync(qemu, '#!/bin/sh\nexit 7\n', { mode: 0o755 });
  const line =
    /^commonhv: preload: \S+qemu-system-x86_64 emulates without -accel kvm, and its guests have no CommonHV/;
  // The library stands in: ld.so says so too.
  const noted = preload(['--library', library, '--', qemu, '-kernel', 'x']);
  assert.deepEqual([noted.status, line.test(noted.stderr)], [7, true], noted.stderr);
  const refused = preload(['--require', '--library', library, '--', qemu, '-kernel', 'x']);
  assert.deepEqual([refused.status, line.test(refused.stderr)], [2, true], refused.stderr);
  const started = preload(['--require', '--library', library, '--', qemu, '-accel', 'kvm']);
  assert.deepEqual([started.status, line.test(started.stderr)], [7, false], started.stderr);
});

test('without a compiler: one line with the way out', () => {
  const { status, stderr } = preload(['--', 'true'], {
    CC: 'no-such-compiler',
    XDG_CACHE_HOME: join(work, 'empty'),
  });
  assert.equal(status, 2);
  assert.match(
    stderr,
    /^commonhv: preload: the C compiler no-such-compiler, [^\n]*\(make -C c\/preload\)[^\n]* --library FILE\n$/,
  );
  assert.deepEqual(readdirSync(join(work, 'empty/commonhv')), []);
});

test('the library is compiled once, and the status is the program’s', { skip: cc }, () => {
  assert.equal(preload(['--', 'sh', '-c', 'exit 7']).status, 7);
  const [name, ...others] = readdirSync(join(work, 'cache/commonhv'));
  assert.match(name!, /^preload-[0-9a-f]{16}\.so$/);
  assert.deepEqual(others, []);
  // In the cache it is found without a compiler.
  const { status, stdout } = preload(['--', 'sh', '-c', 'echo "$LD_PRELOAD"; kill -TERM $$'], {
    CC: 'no-such-compiler',
  });
  assert.equal(status, 128 + 15);
  assert.equal(stdout, `${join(work, 'cache/commonhv', name!)}\n`);
});

test('a static program and one that is not there: one line each', { skip: cc }, () => {
  const source = join(work, 'static.c');
  writeFileSync(source, 'int main(void) { return 0; }\n');
  assert.equal(spawnSync('cc', ['-static', '-o', join(work, 'static'), source]).status, 0);
  const { status, stderr } = preload(['--', join(work, 'static')]);
  assert.equal(status, 2);
  assert.match(stderr, /^commonhv: preload: \S+ is statically linked, [^\n]* docs\/embedding\.md\n$/);
  assert.match(
    preload(['--', 'no-such-vmm']).stderr,
    /^commonhv: preload: no-such-vmm cannot be started \((?:ENOENT|EACCES)\)\n$/,
  );
});
