/** What a new user types first: each command line is answered in one line that names the way on, or does what was meant. */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { probeImage } from 'commonhv/probe';
import { skipUnless } from './support/require.ts';

const work = mkdtempSync(join(tmpdir(), 'commonhv-'));
after(() => rmSync(work, { recursive: true }));
const FAKE = `${process.execPath} build/test/support/fake-hypervisor.js`;

function commonhv(...words: readonly string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, ['dist/cli/bin.cjs', ...words], {
    encoding: 'utf8',
    timeout: 120_000,
  });
  return { status, stdout, stderr };
}

/** The same while this process goes on serving. */
function meanwhile(
  ...words: readonly string[]
): Promise<{ status: number | null; stdout: string; stderr: string }> {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, ['dist/cli/bin.cjs', ...words]);
    let [stdout, stderr] = ['', ''];
    child.stdout.on('data', (bytes) => {
      stdout += bytes;
    });
    child.stderr.on('data', (bytes) => {
      stderr += bytes;
    });
    child.on('close', (status) => resolve({ status, stdout, stderr }));
  });
}

test('help whose reader goes away is a success, a result is none', () => {
  // A pipe without a reader: the shell's own status of the first command.
  const piped = (words: string): string =>
    spawnSync('sh', ['-c', `{ ${process.execPath} dist/cli/bin.cjs ${words}; echo $? >&2; } | true`], {
      encoding: 'utf8',
      timeout: 120_000,
    }).stderr;
  assert.match(piped('--help'), /^0$/m);
  assert.match(piped('help run'), /^0$/m);
  assert.match(piped('detect --engine model --format json'), /^[02]$/m);
});

const junk = join(work, 'junk');
writeFileSync(junk, 'junk\n');
const MISTAKES: readonly (readonly [words: readonly string[], line: RegExp])[] = [
  [['completion'], /completion: for which shell\? bash, zsh, fish/],
  [['preload'], /preload: which VMM\? for example: commonhv preload qemu/],
  [['run', junk], new RegExp(`image ${junk}: expected a multiboot image, a Linux bzImage or an ELF file`)],
  [['trace', junk], new RegExp(`image ${junk}: expected a multiboot image`)],
  [
    ['detect', '--engine', 'model', '--interface', 'a@40000000', '--interface', 'a@40000000'],
    /--interface 2 of the list: expected tuples that differ, got number 1 again/,
  ],
  [['detect', '--engine', 'model', '--interface', 'a@4f000000'], /--interface 1 of the list: 4F000000H to/],
  [['detect', '--engine', 'model', '--prefer', '9'], /--prefer 9: expected one of the 0 interfaces/],
  [
    ['verify', '--exec', 'qemu-system-i386', '-nographic', '-kernel', '{probe}', '--timeout', '9'],
    /--exec: the shell has split the command; .*: --exec 'qemu-system-i386 -nographic -kernel \{probe\}'$/m,
  ],
  [
    ['clones', '--save', 'vm', 'save', '{state}', '--resume', "vm resume '{copy}'"],
    /--save: the shell has split the command; put it in quotes: --save 'vm save \{state\}'$/m,
  ],
  [
    ['clones', '--resume', './resume', '--console', 'unix:/nowhere/{copy}', '--seconds', '0'],
    /Expected seconds/,
  ],
  [['seed', '--through', 'both'], /Allowed choices are driver, instruction/],
];
for (const [words, line] of MISTAKES) {
  test(`commonhv ${words.join(' ').replaceAll(work, '')}: one line, exit 2`, () => {
    const { status, stdout, stderr } = commonhv(...words);
    assert.deepEqual([status, stdout, stderr.trimEnd().split('\n').length], [2, '', 1], stderr);
    assert.match(stderr, line);
  });
}

const DUMP = 'test/dumps/33-cpu_host.txt';
test('--diff: a dump with itself, an empty one, noise, another processor, hostile values', () => {
  const diff = (...files: readonly string[]) => commonhv('detect', '--diff', ...files);
  assert.deepEqual(diff(DUMP, DUMP), { status: 0, stdout: '', stderr: '' });
  const empty = join(work, 'empty');
  writeFileSync(empty, '');
  assert.match(diff(DUMP, empty).stderr, /empty: expected CPUID leaves.*no leaf could be read\n$/);
  assert.equal(diff(DUMP, empty).status, 2);
  const noise = join(work, 'noise');
  writeFileSync(noise, crypto.getRandomValues(new Uint8Array(9000)).fill(0xfe, 0, 9));
  assert.equal(diff(noise, DUMP).status, 2);
  assert.match(diff(DUMP, DUMP, DUMP).stderr, /--diff: expected two dumps, .* got 3\n$/);
  const other = diff(DUMP, 'test/dumps/34-13900k-core0.cpuid');
  assert.equal(other.status, 1);
  assert.match(other.stdout, /^hypervisor +KVM's interface +-> +no hypervisor to be seen$/m);
  assert.match(other.stderr, /rows are in one dump only and not compared/);
  const hostile = join(work, 'hostile');
  const ones = 'eax=0xffffffff ebx=0xffffffff ecx=0xffffffff edx=0xffffffff';
  const root = 'eax=0xffffffff ebx=0x6d6d6f43 ecx=0x56486e6f edx=0x66746e49';
  writeFileSync(
    hostile,
    `   0x40000000 0x00: ${ones}\n   0x40000001 0x00: ${ones}\n   0x4f000000 0x00: ${root}\n   0x4f000001 0x00: ${ones}\n`,
  );
  const { status, stdout } = diff(DUMP, hostile);
  assert.equal(status, 1);
  assert.ok(stdout.split('\n').length < 40, stdout);
});

test('trace of the probe image ends when the probe waits for questions', () => {
  const image = join(work, 'probe.img');
  writeFileSync(image, probeImage());
  const { status, stderr } = commonhv('trace', image);
  assert.equal(status, 0, stderr);
  assert.match(stderr, /the probe waits for questions, and was ended: commonhv run or verify asks them/);
});

test('detect and dump ask another hypervisor by --exec', () => {
  const command = `: {probe}; ${FAKE} good`;
  const found = commonhv('detect', '--exec', command, '--format', 'json');
  assert.equal(found.status, 0, found.stderr);
  assert.equal(JSON.parse(found.stdout).commonhv.draft, 3);
  const dumped = commonhv('dump', '--exec', command, '--leaf', '4f000000');
  assert.match(dumped.stdout, /0x4f000000 0x00: eax=0x4f000003 ebx=0x6d6d6f43 ecx=0x56486e6f edx=0x66746e49/);
  const gone = commonhv('detect', '--exec', 'true {probe}');
  assert.equal(gone.status, 2);
  assert.match(gone.stderr, /--exec: the command ended with status 0, before the probe guest greeted/);
});

test('{probe} and {state} are one word, with quotes and without, whatever the folder for temporary files is called', () => {
  const folder = join(work, "with a space, a comma and a ' quote");
  mkdirSync(folder);
  for (const place of ['{probe}', '"{probe}"', "'{probe}'"]) {
    const command = `test -s ${place} && exec ${FAKE} good`;
    const { status, stderr } = spawnSync(
      process.execPath,
      ['dist/cli/bin.cjs', 'detect', '--exec', command],
      {
        encoding: 'utf8',
        env: { ...process.env, TMPDIR: folder },
        timeout: 120_000,
      },
    );
    assert.equal(status, 0, stderr);
  }
});

test('detect and dump ask another hypervisor by --serial', async () => {
  const [program, ...values] = FAKE.split(' ');
  const fake = spawn(program!, [...values, 'good'], { stdio: ['pipe', 'pipe', 'ignore'] });
  const server = createServer((socket) => {
    socket.on('data', (bytes) => fake.stdin.write(bytes)).on('error', () => {});
    fake.stdout.removeAllListeners('data').on('data', (bytes) => socket.write(bytes));
  });
  const path = join(work, 'line');
  try {
    await new Promise((resolve) => fake.stdout.once('data', resolve));
    await new Promise<void>((resolve) => server.listen(path, resolve));
    const found = await meanwhile('detect', '--serial', `unix:${path}`, '--require', 'rng=secure');
    assert.equal(found.status, 0, found.stderr);
    assert.match(found.stdout, /CommonHV +draft 3/);
    const dumped = await meanwhile(
      'dump',
      '--serial',
      `unix:${path}`,
      '--leaf',
      '4f000000',
      '--format',
      'aida64',
    );
    assert.match(dumped.stdout, /CPUID 4F000000: 4F000003-6D6D6F43-56486E6F-66746E49/);
  } finally {
    fake.kill();
    server.close();
  }
});

const here = commonhv('detect', '--engine', 'native', '--through', 'instruction').status === 0;
test('detect --through instruction agrees with seed --through instruction on whether there is CommonHV', {
  skip: skipUnless('native', here, 'no CPUID on this machine'),
}, () => {
  const offered = commonhv('detect', '--through', 'instruction', '--require', 'commonhv', '--quiet').status;
  const seeded = commonhv('seed', '--through', 'instruction', '--format', 'json');
  if (offered === 1) assert.match(seeded.stdout, /no-commonhv/);
});
