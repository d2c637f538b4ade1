/** The command line on KVM: run and trace, one processor or several, and one line for what goes together with nothing. */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { HALT, kernel, SPIN, send, u32 } from './support/guests.ts';
import { notInBed, skip } from './support/kvm-availability.ts';
import { scaled } from './support/time.ts';

const work = mkdtempSync(join(tmpdir(), 'commonhv-kvm-'));
after(() => rmSync(work, { recursive: true, force: true }));

function commonhv(...args: readonly string[]): { status: number | null; stdout: string; stderr: string } {
  return spawnSync(process.execPath, ['dist/cli/bin.js', ...args], {
    encoding: 'utf8',
    timeout: scaled(240_000),
  });
}
function image(name: string, ...code: readonly number[]): string {
  const path = join(work, name);
  writeFileSync(path, kernel(code));
  return path;
}

test('run asks the probe on KVM, with one processor and with two', { skip }, () => {
  for (const more of [[], ['--vcpus', '2', '--memory', '2M']]) {
    const { status, stdout, stderr } = commonhv('run', '--engine', 'kvm', '--format', 'json', ...more);
    assert.equal(status, 0, stderr);
    const report = JSON.parse(stdout);
    assert.equal(report.engine, 'kvm');
    assert.deepEqual(report.rng, { values: 8, distinct: 8 });
    assert.equal(report.discovery.commonhv.draft, 3);
    assert.deepEqual(report.discovery.interfaces[0], {
      signature: 'KVMKVMKVM',
      bytes: '4b564d4b564d4b564d000000',
      product: 'Linux KVM',
      doubt: 'VirtualBox and Parallels can offer it too',
      location: '0x40000000',
      confirmed: true,
      source: 'commonhv',
    });
  }
});

test('run boots an image, ends it after --timeout, and says how one failed', { skip }, () => {
  const halts = commonhv('run', '--engine', 'kvm', image('halts', ...send('o'), ...send('k'), ...HALT));
  assert.deepEqual([halts.status, halts.stdout], [0, 'ok']);
  assert.match(halts.stderr, /^commonhv: the guest halted: rip=[^\n]*\n$/);
  // mov dx, 604h; mov ax, 2000h; out dx, ax
  const off = [0x66, 0xba, 0x04, 0x06, 0x66, 0xb8, 0x00, 0x20, 0x66, 0xef];
  const quits = commonhv('run', '--engine', 'kvm', image('quits', ...send('o'), ...off));
  assert.equal(quits.status, 0);
  assert.match(quits.stderr, /^commonhv: the guest powered off, after \d+\.\d s\n$/);
  const spins = commonhv('run', '--engine', 'kvm', '--timeout', '0.3', image('spins', ...SPIN));
  assert.equal(spins.status, 2);
  assert.match(spins.stderr, /^commonhv: the guest still ran after 0\.3 s/);
  const strays = commonhv('run', '--engine', 'kvm', image('strays', 0xa3, ...u32(0xd000_0000)));
  assert.equal(strays.status, 2);
  assert.match(
    strays.stderr,
    /^commonhv: the guest failed: the guest wrote 4 bytes at 0xd0000000, [^\n]*\n$/,
  );
});

test('trace counts the MSRs, and says that nobody sees the CPUIDs', { skip }, () => {
  const reads = [0xb9, ...u32(0x4000_00a0), 0x0f, 0x32, 0x0f, 0x32, 0xb9, ...u32(0x1234_5678), 0x0f, 0x30];
  const path = image('reads', ...reads, ...HALT);
  const { status, stdout } = commonhv('trace', '--engine', 'kvm', '--format', 'json', path);
  assert.equal(status, 0);
  const { cpuid, msr, engine } = JSON.parse(stdout);
  assert.equal(engine, 'kvm');
  assert.equal(cpuid, null);
  const times = msr.map(({ firstMs }: { firstMs: number }) => firstMs);
  assert.ok(times[0] >= 0 && times[1] >= times[0], `${times}`);
  const counts = msr.map(({ firstMs, ...row }: { firstMs: number }) => row);
  assert.deepEqual(counts, [
    { index: '0x400000a0', reads: 2, writes: 0, faults: 0 },
    { index: '0x12345678', reads: 0, writes: 1, faults: 1 },
  ]);
});

// The layer is built on the machine's own thread there, so each access is told by a message.
test('trace: a guest that never stops reading is counted, one processor or two', { skip }, () => {
  const loop = [0xb9, ...u32(0x4000_00a0), 0x0f, 0x32, 0xeb, 0xfc]; // mov ecx, MSR; rdmsr; jmp to the rdmsr
  const path = image('reads-for-ever', ...send('x'), ...loop);
  for (const vcpus of ['1', '2']) {
    const words = ['--engine', 'kvm', '--vcpus', vcpus, '--timeout', '1', '--format', 'json'];
    const { status, stdout, stderr } = commonhv('trace', ...words, path);
    assert.equal(status, 0, stderr);
    assert.match(stderr, /the guest still ran after 1 s, and was ended/);
    const { msr } = JSON.parse(stdout);
    assert.deepEqual([msr.length, msr[0].index, msr[0].faults], [1, '0x400000a0', 0]);
    assert.ok(msr[0].reads > 100, `${msr[0].reads} reads`);
  }
  const events = commonhv('trace', '--engine', 'kvm', '--timeout', '0.5', '--events', path);
  assert.match(events.stdout, /^ +\d+\.\d ms {2}rdmsr {2}0x400000a0\n/);
});

test('an option of KVM alone is refused elsewhere, in one line', { skip: notInBed }, () => {
  for (const option of [['--vcpus', '2'], ['--hyperv']]) {
    const { status, stderr } = commonhv('run', ...option);
    assert.equal(status, 2);
    assert.equal(stderr, `commonhv: ${option[0]} goes with --engine kvm\n`);
  }
  const { status, stderr } = commonhv('run', '--engine', 'kvm', '--vcpus', '17');
  assert.equal(status, 2);
  assert.match(stderr, /Expected 1 to 16\.\n$/);
});

/** Rules that need the machine controls, or another processor. */
const MACHINE_RULES = [
  ...['generation.same', 'generation.pause', 'page.holds'],
  ...['page.renewed', 'page.restored', 'page.others'],
];

test('verify passes with two processors, and detect names the host’s interface', { skip }, (t) => {
  // In the bed all rules take minutes with two processors; `bed: verify` of the matrix checks them with one.
  const only = process.env.COMMONHV_BED === undefined ? [] : MACHINE_RULES.flatMap((id) => ['--only', id]);
  const args = ['verify', '--engine', 'kvm', '--vcpus', '2', '--format', 'json', ...only];
  const { status, stdout, stderr } = commonhv(...args);
  assert.equal(status, 0, stderr);
  const { failed, rules } = JSON.parse(stdout) as {
    failed: number;
    rules: { id: string; outcome: string }[];
  };
  assert.equal(failed, 0);
  t.diagnostic(`${rules.length} rules`);
  for (const rule of MACHINE_RULES)
    assert.equal(rules.find(({ id }) => id === rule)?.outcome, 'passed', rule);
  const detected = commonhv('detect', '--engine', 'kvm', '--format', 'json');
  assert.equal(detected.status, 0, detected.stderr);
  assert.equal(JSON.parse(detected.stdout).interfaces[0].product, 'Linux KVM');
});

test('an index that the kernel has an MSR at is the layer’s where it is asked for', { skip }, () => {
  const { status, stdout } = commonhv(
    'run',
    '--engine',
    'kvm',
    '--draft',
    '2',
    '--rng-msr',
    '0',
    '--format',
    'json',
  );
  assert.equal(status, 0);
  const { discovery, rng } = JSON.parse(stdout);
  assert.equal(discovery.commonhv.rng.msr, '0x00000000');
  assert.deepEqual(rng, { values: 8, distinct: 8 });
});

test('Ctrl-C ends a guest that spins', { skip, timeout: scaled(20_000) }, async () => {
  const path = image('spins-and-says', ...send('x'), ...SPIN);
  const child = spawn(process.execPath, ['dist/cli/bin.js', 'run', '--engine', 'kvm', path]);
  await once(child.stdout, 'data');
  const before = performance.now();
  child.kill('SIGINT');
  const [status] = await once(child, 'exit');
  assert.equal(status, 2);
  assert.ok(performance.now() - before < 2000);
});

test('without koffi: one line that says so, and which engine would do', {
  skip: process.platform !== 'linux' && 'needs Linux',
}, () => {
  const without = join(work, 'without.cjs');
  writeFileSync(
    without,
    `const Module = require('node:module');
    const resolve = Module._resolveFilename;
    Module._resolveFilename = function (name, ...rest) {
      if (name.includes('koffi')) throw new Error('not installed');
      return resolve.call(this, name, ...rest);
    };`,
  );
  const args = ['-r', without, 'dist/cli/bin.js', 'run', '--engine', 'kvm'];
  const { status, stderr } = spawnSync(process.execPath, args, {
    encoding: 'utf8',
    timeout: scaled(240_000),
  });
  assert.equal(status, 2);
  assert.match(
    stderr,
    /^commonhv: no KVM: koffi, [^\n]* cannot be loaded: is it installed\?; the engine v86 needs [^\n]*\n$/,
  );
});
