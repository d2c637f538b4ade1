/** The command line as programs meet it: exit status, JSON shapes, one line for whatever is wrong. */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';

const work = mkdtempSync(join(tmpdir(), 'commonhv-cli-'));
after(() => rmSync(work, { recursive: true, force: true }));

const BIN = 'dist/cli/bin.js';
function commonhv(...args: readonly string[]): { status: number | null; stdout: string; stderr: string } {
  return spawnSync(process.execPath, [BIN, ...args], { encoding: 'utf8', timeout: 60_000 });
}

/** A multiboot kernel of a few bytes: what follows the header is entered. */
function multiboot(code: readonly number[]): string {
  const image = new DataView(new ArrayBuffer(32 + code.length));
  const values = [
    0x1bad_b002,
    0x0001_0000,
    -(0x1bad_b002 + 0x0001_0000),
    0x10_0000,
    0x10_0000,
    0,
    0,
    0x10_0020,
  ];
  for (const [i, value] of values.entries()) image.setUint32(4 * i, value >>> 0, true);
  for (const [i, byte] of code.entries()) image.setUint8(32 + i, byte);
  const path = join(work, `kernel-${code.length}-${code[0]}`);
  writeFileSync(path, new Uint8Array(image.buffer));
  return path;
}

/** CPUID leaves 1 and 40000000H, the RNG twice, an MSR that nobody has written; "ok" on COM1; halts for good. */
const asks = multiboot([
  ...[0xb8, 0x01, 0x00, 0x00, 0x00, 0x0f, 0xa2], // mov eax, 1; cpuid
  ...[0xb8, 0x00, 0x00, 0x00, 0x40, 0x0f, 0xa2], // mov eax, 40000000H; cpuid
  ...[0xb9, 0xa0, 0x00, 0x00, 0x40, 0x0f, 0x32, 0x0f, 0x32], // mov ecx, 400000A0H; rdmsr; rdmsr
  ...[0xb9, 0x78, 0x56, 0x34, 0x12, 0x0f, 0x30], // mov ecx, 12345678H; wrmsr
  ...[0x66, 0xba, 0xf8, 0x03], // mov dx, 3F8H
  ...[0xb0, 0x6f, 0xee, 0xb0, 0x6b, 0xee], // mov al, 'o'; out; mov al, 'k'; out
  ...[0xfa, 0xf4], // cli; hlt
]);
const spins = multiboot([0xeb, 0xfe]); // jmp $

test('run without an image: the probe guest, in the JSON that programs rely on', () => {
  const { status, stdout } = commonhv('run', '--format', 'json');
  assert.equal(status, 0);
  const { milliseconds, discovery, rng, ...rest } = JSON.parse(stdout);
  assert.equal(typeof milliseconds, 'number');
  assert.equal(rest.engine, 'v86');
  assert.equal(rest.draft, 3);
  assert.deepEqual(rng, { values: 8, distinct: 8 });
  assert.deepEqual(discovery.commonhv, {
    draft: 3,
    maxLeaf: '0x4f000003',
    preferred: null,
    rng: { msr: '0x400000a0', input: false, secure: true },
    generation: { msr: '0x400000a1', page: '0x400000a2', acknowledgement: true },
  });
  assert.deepEqual(discovery.interfaces, [
    {
      signature: 'VMwareVMware',
      bytes: '564d77617265564d77617265',
      product: 'VMware',
      doubt: 'QEMU and v86 can show it too',
      location: '0x40000000',
      confirmed: true,
      source: 'commonhv',
    },
  ]);
});

test('run as text: aligned lines, no colour where there is no terminal', () => {
  const { status, stdout } = commonhv('run', '--interface', 'KVMKVMKVM@40000100', '--prefer', 'KVMKVMKVM');
  assert.equal(status, 0);
  assert.match(stdout, /CommonHV {8}draft 3, leaves to 0x4f000003\n/);
  assert.match(
    stdout,
    /1 {2}0x40000100 {2}"KVMKVMKVM" {2}Linux KVM {2}preferred, not confirmed at its location/,
  );
  assert.match(stdout, /random values {3}8 read, 8 different\n/);
  assert.ok(!stdout.includes('\x1b'));
});

test('a stuck source is seen from inside, and the answer is no', () => {
  const { status, stdout } = commonhv('run', '--rng-source', 'stuck');
  assert.equal(status, 1);
  assert.match(stdout, /said not to be secure/);
  assert.match(stdout, /8 read, 1 different/);
});

/** The line on standard error that says how a guest ended. */
const ENDED =
  /^commonhv: the guest halted: halted with interrupts off at 0x[0-9a-f]{8}(, after \d+\.\d s)?\n$/;

test('run IMAGE: what the guest prints is standard output, and nothing else is', () => {
  const { status, stdout, stderr } = commonhv('run', asks, '--timeout', '20');
  assert.deepEqual({ status, stdout }, { status: 0, stdout: 'ok' });
  assert.match(stderr, ENDED);
});

interface Row {
  readonly leaf: string;
  readonly count: number;
  readonly firstMs: number;
}

test('trace: each CPUID and MSR of the guest, counted, and no value', () => {
  const { status, stdout, stderr } = commonhv('trace', asks, '--format', 'json', '--timeout', '20');
  assert.equal(status, 0);
  assert.match(stderr, new RegExp(`ok${ENDED.source.slice(1)}`));
  const { engine, milliseconds, cpuid, msr } = JSON.parse(stdout);
  assert.equal(engine, 'v86');
  assert.equal(typeof milliseconds, 'number');
  assert.deepEqual(
    cpuid.leaves.map(({ leaf, count }: Row) => [leaf, count]),
    [
      ['0x00000001', 1],
      ['0x40000000', 1],
    ],
  );
  assert.equal(cpuid.total, 2);
  assert.deepEqual(
    msr.map(({ firstMs, ...row }: Row) => row),
    [
      { index: '0x400000a0', reads: 2, writes: 0, faults: 0 },
      { index: '0x12345678', reads: 0, writes: 1, faults: 0 }, // v86 drops what it does not know
    ],
  );
  for (const rows of [cpuid.leaves, msr]) {
    const times: number[] = rows.map(({ firstMs }: Row) => firstMs);
    assert.ok(
      times.every((time, index) => time >= 0 && time >= (times[index - 1] ?? 0)),
      `${times}: in the order of the questions`,
    );
  }
});

test('trace as text names the MSRs; --events shows each question as it comes', () => {
  const { status, stdout } = commonhv('trace', asks, '--events', '--timeout', '20');
  assert.equal(status, 0);
  assert.match(stdout, /cpuid {2}0x00000001 /);
  assert.match(stdout, /rdmsr {2}0x400000a0\n/);
  assert.match(stdout, /2 CPUIDs, 1 of them steps of the scan/);
  assert.match(stdout, /3 accesses to 2 MSRs/);
});

test('--timeout ends a guest that spins, in one line', () => {
  const start = performance.now();
  const { status, stderr } = commonhv('run', spins, '--timeout', '1');
  assert.equal(status, 2);
  assert.equal(stderr, 'commonhv: the guest still ran after 1 s, and was ended\n');
  assert.ok(performance.now() - start < 30_000);
});

test('what was ended by --timeout is no answer, 2', () => {
  // Long enough to start, too short to be judged; with luck on a fast machine it is only the first.
  for (const [command, line] of [
    ['run', /^commonhv: it took longer than 0\.\d+ s \(--timeout\)\n$/],
    [
      'verify',
      /^commonhv: (the hypervisor was not verified within|it took longer than) 0\.\d+ s \(--timeout\)\n$/,
    ],
    ['dump --engine v86', /^commonhv: it took longer than 0\.\d+ s \(--timeout\)\n$/],
  ] as const) {
    for (const seconds of ['0.05', '0.2', '0.3', '0.4']) {
      const { status, stdout, stderr } = commonhv(...command.split(' '), '--timeout', seconds);
      if (status === 0) continue;
      assert.deepEqual([status, stdout], [2, ''], stderr);
      assert.match(stderr, line);
    }
  }
});

test('a guest that says nothing, and a file that is none, get one line, 2', () => {
  const { status, stdout, stderr } = commonhv('run', multiboot([0xfa, 0xf4, 0x90])); // cli; hlt
  assert.deepEqual([status, stdout], [2, '']);
  assert.match(
    stderr,
    /^commonhv: the guest said nothing and halted with interrupts off at 0x00100022, after \d+\.\d s\n$/,
  );
  const endless = commonhv('run', asks, '--initrd', '/dev/zero');
  assert.deepEqual(
    [endless.status, endless.stderr],
    [2, 'commonhv: --initrd /dev/zero: expected a file, got a device, pipe or socket\n'],
  );
});

test('values that can be foretold are named in every report', () => {
  const counting = ['--draft', '2', '--rng-source', 'counting'];
  assert.match(commonhv('run', ...counting).stdout, /8 different, deterministic \(--rng-source counting\)/);
  assert.equal(JSON.parse(commonhv('run', '--format', 'json', ...counting).stdout).deterministic, 'counting');
  const line = "commonhv: the RNG's values are deterministic: --rng-source counting is for tests\n";
  for (const command of [
    ['detect', '--engine', 'model'],
    ['dump', '--engine', 'model'],
    ['trace', asks],
    ['run', asks],
  ]) {
    assert.ok(commonhv(...command, ...counting).stderr.includes(line), command.join(' '));
  }
});

test('Ctrl-C ends a guest that spins, and no process stays behind', { timeout: 60_000 }, async () => {
  const started = multiboot([0xb0, 0x78, 0x66, 0xba, 0xf8, 0x03, 0xee, 0xeb, 0xfe]); // mov al, 'x'; mov dx, 3f8h; out dx, al; jmp $
  const child = spawn(process.execPath, [BIN, 'run', started], { stdio: ['ignore', 'pipe', 'pipe'] });
  child.stdout.once('data', () => child.kill('SIGINT'));
  const status = await new Promise((resolve) => child.on('exit', resolve));
  assert.equal(status, 2);
  assert.throws(() => process.kill(child.pid!, 0), { code: 'ESRCH' });
});

const WRONG: readonly (readonly [string, RegExp])[] = [
  ['frob', /unknown command 'frob'/],
  ['run no-such-file', /image no-such-file: there is no such file/],
  ['run src', /image src: it is a folder/],
  [
    'run package.json',
    /image package.json: expected a multiboot image, a Linux bzImage or an ELF file with a PVH note, got \d+ bytes/,
  ],
  ['run --engine model', /Allowed choices are v86, kvm/],
  ['run --draft 4', /Allowed choices are 1, 2, 3/],
  ['run --rng-msr zz', /up to eight hexadecimal digits/],
  ['run --no-rng --rng-msr 4', /--rng-msr contradicts --no-rng/],
  ['run --no-generation --generation-msr 4', /--generation-msr contradicts --no-generation/],
  ['run --interface foo', /Expected SIG@LEAF/],
  ['run --interface far-too-long-a-signature@40000000', /1 to 12 one-byte characters/],
  ['run --interface foo@123456789', /up to eight hexadecimal digits/],
  ['run --prefer nope', /--prefer nope: expected one of the 1 interfaces \(VMwareVMware\)/],
  ['run --generation-msr 400000a0', /--generation-msr: 0x400000a0 is --rng-msr already/],
  ['run --interface Microsoft\\x20Hv@40000000 --rng-msr 40000000', /belongs to "Microsoft Hv"/],
  ['run --draft 1 --rng-input none', /--rng-input: none: draft 1 must accept guest writes/],
  ['run --draft 2 --generation-msr 5', /--generation-msr: draft 2 has no generation register/],
  ['run --memory 5', /--memory: expected 1 MiB to/],
  ['run --memory lots', /Expected a size such as 64M/],
  ['run --timeout 0', /above 0 and at most 86400/],
  ['run --append x', /--append goes with an image/],
  ['run package.json --format json', /--format json goes with no image/],
  ['run --timeout 0.01', /it took longer than 0.01 s \(--timeout\)/],
  ['seed --interval 5', /--interval goes with --watch/],
  ['trace', /missing required argument 'image'/],
];
for (const [line, message] of WRONG) {
  test(`commonhv ${line}: one line, exit 2`, () => {
    const { status, stdout, stderr } = commonhv(...line.split(' '));
    assert.equal(status, 2, stderr);
    assert.equal(stdout, '');
    assert.match(stderr, message);
    assert.match(stderr, /^commonhv: [^\n]*\n$/);
  });
}

test('an initrd that does not fit is refused before a machine is made', () => {
  const initrd = join(work, 'initrd');
  writeFileSync(initrd, new Uint8Array(4 << 20));
  const { status, stderr } = commonhv('run', asks, '--initrd', initrd, '--memory', '2M');
  assert.equal(status, 2);
  assert.match(stderr, /^commonhv: [^\n]*\n$/);
});
