/** `commonhv detect` and `dump` as processes: every format, what scripts ask, and what bad input gets for an answer. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { skipUnless } from './support/require.ts';

const folder = mkdtempSync(join(tmpdir(), 'commonhv-'));
after(() => rmSync(folder, { recursive: true }));

function run(args: readonly string[], input: string | Uint8Array = '') {
  const done = spawnSync(process.execPath, ['dist/cli/bin.cjs', ...args], {
    input,
    encoding: 'latin1',
    timeout: 60_000,
  });
  return { status: done.status, out: done.stdout, err: done.stderr };
}
function file(name: string, text: string | Uint8Array): string {
  writeFileSync(join(folder, name), text);
  return join(folder, name);
}

const DRAFT3 = ['detect', '--from', 'test/machines/v86-draft3.txt'];

test('text: the verdict, and each interface with its place', () => {
  const { status, out } = run(DRAFT3);
  assert.equal(status, 0);
  assert.match(out, /^VMware and QEMU TCG\n/);
  assert.match(out, /CommonHV +draft 3/);
  assert.match(out, /2 +0x40000000 +"TCGTCGTCGTCG" +QEMU TCG +preferred, not confirmed/);
});

test('JSON has the documented shape', () => {
  const { status, out } = run([...DRAFT3, '--format', 'json']);
  assert.equal(status, 0);
  const common = { location: '0x40000000', source: 'commonhv' };
  assert.deepEqual(JSON.parse(out), {
    hypervisorBit: true,
    commonhv: {
      ...{ draft: 3, maxLeaf: '0x4f000003', preferred: 2 },
      rng: { msr: '0x400000a0', input: false, secure: true },
      generation: { msr: '0x400000a1' },
    },
    interfaces: [
      { signature: 'VMwareVMware', product: 'VMware', confirmed: true, ...common },
      { signature: 'TCGTCGTCGTCG', product: 'QEMU TCG', confirmed: false, ...common },
    ],
    cost: { cpuid: 9 },
  });
});

test('nfd: labels that Kubernetes takes', () => {
  const odd = [
    'detect',
    '--engine',
    'model',
    '--interface',
    '\\x00\\xff"\\\\x@40000000',
    '--interface',
    '\\x01@40000000',
  ];
  for (const args of [DRAFT3, ['detect', '--from', 'test/machines/kvm-off.txt'], odd]) {
    const { status, out } = run([...args, '--format', 'nfd']);
    assert.equal(status, 0);
    for (const line of out.trimEnd().split('\n')) {
      // An optional prefix, a name and a value: at most 63 characters each, letters or digits at both ends.
      assert.match(
        line,
        /^feature\.node\.kubernetes\.io\/[a-z0-9][\w.-]{0,61}[A-Za-z0-9]=[A-Za-z0-9]([\w.-]{0,61}[A-Za-z0-9])?$/,
      );
    }
  }
  assert.match(run([...DRAFT3, '--format', 'nfd']).out, /commonhv\.has\.TCGTCGTCGTCG=true\n/);
});

const promtool = spawnSync('promtool', ['--version']).status === 0;
test('prometheus: metrics that promtool finds nothing to say of', {
  skip: skipUnless('promtool', promtool, 'promtool is not installed (prometheus)'),
}, () => {
  const odd = [
    'detect',
    '--engine',
    'model',
    '--interface',
    '\\x0a\\x22\\x5c@40000000',
    '--interface',
    'a@40000000',
  ];
  for (const args of [DRAFT3, ['detect', '--from', 'test/machines/kvm-off.txt'], odd]) {
    const { status, out } = run([...args, '--format', 'prometheus']);
    assert.equal(status, 0);
    const lint = spawnSync('promtool', ['check', 'metrics'], { input: out, encoding: 'utf8' });
    assert.deepEqual([lint.status, lint.stdout + lint.stderr], [0, ''], out);
  }
});

test('--require: 0 where all are there, 1 with a line where one is not', () => {
  const require = (...names: string[]) => run([...DRAFT3, ...names.flatMap((name) => ['--require', name])]);
  assert.equal(require('VMwareVMware', 'CommonHVIntf').status, 0);
  const { status, err } = require('VMwareVMware', 'KVMKVMKVM', 'Jailhouse');
  assert.deepEqual([status, err], [1, 'commonhv: not there: KVMKVMKVM, Jailhouse\n']);
});

test('a record without all the leaves that matter says so, and is no answer for a script', () => {
  const line = (at: string, eax: string, more: string) => `   ${at}: eax=0x${eax} ${more}\n`;
  const hyperv = 'ebx=0x7263694d ecx=0x666f736f edx=0x76482074';
  const root = 'ebx=0x6d6d6f43 ecx=0x56486e6f edx=0x66746e49';
  const zeros = 'ebx=0x00000000 ecx=0x00000000 edx=0x00000000';
  const leaves = [
    line('0x40000000 0x00', '4000000b', hyperv),
    line('0x4f000000 0x00', '4f000003', root),
    line('0x4f000001 0x00', '00000000', zeros),
  ];
  const args = ['detect', '--from', '-'];
  const listless = run([...args, '--require', 'KVMKVMKVM'], leaves.join(''));
  assert.equal(listless.status, 2);
  assert.match(listless.out, /^too little was recorded to say\n/);
  assert.match(
    listless.out,
    /hypervisor bit +not recorded\nCommonHV +offered, leaves to 0x4f000003, not all/,
  );
  assert.match(listless.out, /interfaces +not recorded/);
  assert.match(listless.err, /leaf 0x4f000002 is missing: what CommonHV offers is not known\n/);
  assert.match(listless.err, /not in what was recorded, which is not all: KVMKVMKVM\n$/);
  // Of several processors the one that was recorded best is shown.
  const { out, err } = run(args, `CPU 0:\n${line('0x00000000 0x00', '0000000d', zeros)}CPU 1:\n${leaves[0]}`);
  assert.match(out, /^Microsoft Hyper-V\n\nhypervisor bit +not recorded\nCommonHV +not recorded\n/);
  assert.match(err, /CPU 0 shows something else than CPU 1, which is shown here\n$/);
});

test('a dump in either format, through standard input, is the same machine', () => {
  const dump = run(['dump', '--engine', 'v86', '--draft', '2']).out;
  const json = run(['dump', '--from', '-', '--format', 'json'], dump).out;
  assert.equal(run(['dump', '--from', '-'], json).out, dump);
  assert.equal(run(['detect', '--from', '-'], json).out, run(['detect', '--from', '-'], dump).out);
  assert.match(run(['detect', '--from', '-'], json).out, /draft 2/);
});

test('processors that disagree, and lines that cannot be read, are told of', () => {
  const leaf = (at: string, ebx: string) =>
    `   0x${at} 0x00: eax=0x40000001 ebx=0x${ebx} ecx=0x564b4d56 edx=0x0000004d\n`;
  const cpu = (ebx: string) => leaf('00000001', '00000000') + leaf('40000000', ebx);
  const { status, out, err } = run(
    ['detect', '--from', '-'],
    `CPU 0:\n${cpu('4b4d564b')}CPU 1:\n${cpu('4c4d564c')}boo\n`,
  );
  assert.equal(status, 0);
  assert.match(out, /^Linux KVM\n/);
  assert.match(err, /standard input: line 7 is not what cpuid -r prints\n/);
  assert.match(err, /the processors disagree: CPU 1 shows something else than CPU 0/);
});

test('input that is no recorded machine gets one line and exit status 2', () => {
  const bytes = crypto.getRandomValues(new Uint8Array(65_536));
  bytes[0] = 0x78; // not what JSON begins with
  const noise = file('noise', bytes);
  const cases: [string[], RegExp][] = [
    [['detect', '--from', '/nowhere'], /\/nowhere: there is no such file/],
    [['detect', '--from', 'dist'], /dist: it is a folder/],
    [['detect', '--from', noise], /line 1 is not what cpuid -r prints.*no leaf could be read/],
    [['detect', '--from', file('empty', '')], /no leaf could be read/],
    [['detect', '--from', 'package.json'], /the JSON is not a CPUID dump/],
    [['detect', '--from', file('big', Buffer.alloc(33 << 20, 'CPU 0:\n'))], /got more than 32 MiB/],
    [['detect', '--from', 'x', '--draft', '1'], /--draft has no effect with --from FILE/],
    [['detect', '--engine', 'native', '--no-rng'], /--no-rng has no effect with --engine native/],
    [['detect', '--engine', 'model', '--cpu', '0'], /--cpu has no effect with --engine model/],
    [['dump', '--cpu', '1023'], /CPU 1023/],
    [['seed', '--interval', '0'], /Expected 1 to 60000 milliseconds/],
  ];
  for (const [args, expected] of cases) {
    const { status, out, err } = run(args);
    assert.deepEqual([status, out], [2, ''], `${args}: ${err}`);
    assert.match(err, expected);
    assert.equal(err.trimEnd().split('\n').length, 1, err);
  }
});
