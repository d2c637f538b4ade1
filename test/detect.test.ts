/** `commonhv detect` and `dump` as processes: every format, what scripts ask, and what bad input gets for an answer. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
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
  const vmware = {
    product: 'VMware',
    bytes: '564d77617265564d77617265',
    doubt: 'QEMU and v86 can show it too',
  };
  const tcg = { product: 'QEMU TCG', bytes: '544347544347544347544347', doubt: null };
  assert.deepEqual(JSON.parse(out), {
    verdict: 'VMware and QEMU TCG',
    hypervisorBit: true,
    answers: { hypervisorBit: 'yes', commonhv: 'yes', interfaces: 'yes' },
    commonhv: {
      ...{ draft: 3, maxLeaf: '0x4f000003', preferred: 2 },
      rng: { msr: '0x400000a0', input: false, secure: true },
      generation: { msr: '0x400000a1', page: null, acknowledgement: false },
    },
    interfaces: [
      { signature: 'VMwareVMware', ...vmware, confirmed: true, ...common },
      { signature: 'TCGTCGTCGTCG', ...tcg, confirmed: false, ...common },
    ],
    complete: true,
    confidential: null,
    missing: [],
    cost: { cpuid: 9 },
  });
});

test('the page and the acknowledgement are shown where they are offered', () => {
  const shown = (leaf2: string, leaf3: string) => {
    const recorded = file(
      'second-edition.txt',
      `CPU 0:
   0x00000001 0x00: eax=0x00000000 ebx=0x00000000 ecx=0x80000000 edx=0x00000000
   0x40000000 0x00: eax=0x00000000 ebx=0x00000000 ecx=0x00000000 edx=0x00000000
   0x4f000000 0x00: eax=0x4f000003 ebx=0x6d6d6f43 ecx=0x56486e6f edx=0x66746e49
   0x4f000001 0x00: eax=0x00000000 ebx=0x00000000 ecx=0x00000000 edx=0x00000000
   0x4f000002 0x00: eax=${leaf2} ebx=0x00000003 ecx=0x00000000 edx=0x00000000
   0x4f000003 0x00: eax=0x400000a0 ebx=0x00000001 ecx=0x400000a1 edx=${leaf3}
`,
    );
    const text = /^generation +(.*)$/m.exec(run(['detect', '--from', recorded]).out)?.[1];
    const json = JSON.parse(run(['detect', '--from', recorded, '--format', 'json']).out);
    return [json.commonhv?.generation, text];
  };
  const msr = '0x400000a1';
  const page = '0x400000a2';
  assert.deepEqual(shown('0x0000001d', page), [
    { msr, page, acknowledgement: true },
    'MSR 0x400000a1, page at MSR 0x400000a2, takes acknowledgements',
  ]);
  assert.deepEqual(shown('0x00000015', '0x00000000'), [
    { msr, page: null, acknowledgement: true },
    'MSR 0x400000a1, takes acknowledgements',
  ]);
  assert.deepEqual(shown('0x0000000d', page), [
    { msr, page, acknowledgement: false },
    'MSR 0x400000a1, page at MSR 0x400000a2',
  ]);
  assert.deepEqual(shown('0x00000005', page), [
    { msr, page: null, acknowledgement: false },
    'MSR 0x400000a1',
  ]);
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
  const there = 'there: "VMwareVMware" at 0x40000000, "TCGTCGTCGTCG" at 0x40000000, CommonHV';
  assert.deepEqual([status, err], [1, `commonhv: --require: not there: KVMKVMKVM, Jailhouse; ${there}\n`]);
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
  assert.match(listless.out, /^Hyper-V's interface|^a Hyper-V|^too little was recorded to say\n/);
  assert.match(
    listless.out,
    /hypervisor bit +not recorded\nCommonHV +offered, leaves to 0x4f000003, not all/,
  );
  assert.match(listless.out, /interfaces +not recorded: leaf 0x4f000002 is missing/);
  assert.match(listless.err, /cannot tell: KVMKVMKVM: leaf 0x4f000002 is missing/);
  // Of several processors the one that was recorded best is shown, and a leaf that the other lacks is no disagreement.
  const { out, err } = run(args, `CPU 0:\n${line('0x00000000 0x00', '0000000d', zeros)}CPU 1:\n${leaves[0]}`);
  assert.match(out, /^Hyper-V's interface|^too little/);
  assert.match(out, /hypervisor bit +not recorded\n/);
  assert.equal(err, '');
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
    `CPU 0:\n${cpu('4b4d564b')}CPU 1:\n${cpu('4c4d564b')}   0x40000001 0x00: eax=0x0000\n`,
  );
  assert.equal(status, 0);
  assert.match(out, /^KVM's interface\n/);
  assert.match(err, /standard input: line 7 is damaged or cut off/);
  assert.match(
    err,
    /the processors disagree: CPU 1 differs from CPU 0, which is shown here: it has "KVMLVMKVM"/,
  );
});

test('input that is no recorded machine gets one line and exit status 2', () => {
  const bytes = crypto.getRandomValues(new Uint8Array(65_536));
  bytes[0] = 0x78; // not what JSON begins with
  const noise = file('noise', bytes);
  const cases: [string[], RegExp][] = [
    [['detect', '--from', '/nowhere'], /\/nowhere: there is no such file/],
    [['detect', '--from', 'dist'], /dist: it is a folder/],
    [['detect', '--from', noise], /expected CPUID leaves, as cpuid -r.*no leaf could be read/],
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

test('--require: products, trimmed signatures, questions about CommonHV; a typing error is no answer', () => {
  const dumps: Readonly<Record<string, string>> = {
    kvm: 'test/dumps/33-cpu_host.txt', // complete
    hyperv: 'test/dumps/05-kvm-hv-oldcpuid.txt', // nothing recorded from 40000100H
    bhyve: 'test/dumps/38-appended.txt', // CommonHV's root is zeros
    v86: 'test/machines/v86-draft3.txt',
    vbox: 'test/dumps/13-vbox7.txt',
  };
  const cases: readonly (readonly [dump: string, require: string, status: number])[] = [
    ['kvm', 'KVM', 0],
    ['kvm', 'kvm', 0],
    ['kvm', 'KVMKVMKVM', 0],
    ['kvm', "KVM's interface", 0],
    ['kvm', 'linux kvm', 2],
    ['kvm', 'vbox', 2],
    ['vbox', 'vbox', 0],
    ['vbox', 'VIRTUALBOX', 0],
    ['hyperv', 'vbox', 2],
    ['bhyve', 'vbox', 1],
    ['kvm', 'Xen', 1],
    ['kvm', 'Hv#1', 1],
    ['kvm', 'VirtualBox', 2],
    ['kvm', 'Linux KVM', 2],
    ['kvm', 'commonhv', 2],
    ['hyperv', 'Hv#1', 0],
    ['hyperv', 'Hyper-V', 0],
    ['hyperv', 'Microsoft Hv', 0],
    ['hyperv', 'KVMKVMKVM', 2],
    ['hyperv', 'Jailhouse', 2],
    ['bhyve', 'bhyve bhyve', 0],
    ['bhyve', 'bhyve', 0],
    ['bhyve', 'commonhv', 1],
    ['bhyve', 'rng', 1],
    ['bhyve', 'acme', 1],
    ['v86', 'commonhv', 0],
    ['v86', 'rng', 0],
    ['v86', 'rng=secure', 0],
    ['v86', 'generation', 0],
  ];
  for (const [dump, name, status] of cases) {
    const done = run(['detect', '--quiet', '--from', dumps[dump]!, '--require', name]);
    assert.deepEqual([done.status, done.out], [status, ''], `${dump}: ${name}: ${done.err}`);
  }
  const shared = run(['detect', '--from', dumps.kvm!, '--require', 'Linux KVM']);
  assert.match(shared.err, /cannot tell: Linux KVM: several products show the same signature; there:/);
  const near = run(['detect', '--from', dumps.bhyve!, '--require', 'bhivebhyve']);
  assert.equal(near.status, 2);
  assert.match(near.err, /--require bhivebhyve: no such signature or product; is "bhyve bhyve" meant\?/);
  for (const [name, expected] of [
    ['rng=foo', '--require rng=foo: expected rng or rng=secure'],
    ['RNG=', '--require RNG=: expected rng or rng=secure'],
    ['generation=1', '--require generation=1: expected generation'],
    ['', "--require '': expected a signature of up to 12 bytes, a product"],
    ['bhivebhyve', 'meant?'],
  ] as const) {
    const { status, out, err } = run(['detect', '--from', dumps.v86!, '--require', 'rng', '--require', name]);
    assert.deepEqual([status, out, err.includes(expected)], [2, '', true], err);
  }
  const long = run(['detect', '--from', dumps.bhyve!, '--require', 'a hypervisor of no name']);
  assert.match(long.err, /expected a signature of up to 12 bytes, a product, commonhv/);
  const open = run(['detect', '--from', dumps.hyperv!, '--require', 'KVMKVMKVM']);
  assert.match(
    open.err,
    /cannot tell: KVMKVMKVM: leaf 0x40000100 is missing.*there: "Microsoft Hv" at 0x40000000/,
  );
});

test('a signature that lost a digit is damaged, named by its line, and no other signature', () => {
  const whole = readFileSync('test/dumps/syn-hyperv-kvm-intel.txt', 'utf8');
  const at = whole.split('\n').findIndex((line) => line.includes('0x40000000 0x00:')) + 1;
  for (const [digits, damage] of [
    ['ebx=0x7263694d', 'ebx=0x7263694'],
    ['   0x40000000 ', '   0x4000000O '],
    ['   0x40000000 ', '   0x4000000 '],
  ] as const) {
    const text = whole.replace(digits, damage);
    assert.notEqual(text, whole);
    const { status, out, err } = run(['detect', '--from', '-', '--require', 'Hv#1'], text);
    assert.equal(status, 2, out);
    assert.match(err, new RegExp(`line ${at} is damaged: [^\\n]*\\n[^\\n]*cannot tell: Hv#1`));
    assert.doesNotMatch(out, /administrator|icrosof/);
  }
});

test('--quiet: whether there is a hypervisor, by the status alone', () => {
  const quiet = (file: string) => run(['detect', '--quiet', '--from', `test/dumps/${file}`]);
  assert.deepEqual(quiet('33-cpu_host.txt'), { status: 0, out: '', err: '' });
  assert.deepEqual(quiet('34-13900k-core0.cpuid'), { status: 1, out: '', err: '' });
  assert.deepEqual(quiet('23-xen-cpuid.txt'), { status: 2, out: '', err: '' });
});

test('a question without an answer has its own value in every format', () => {
  const format = (name: string) =>
    run(['detect', '--from', 'test/dumps/04-leaf-only.txt', '--format', name]).out;
  assert.match(format('text'), /hypervisor bit +not recorded\n/);
  const { hypervisorBit, answers, complete } = JSON.parse(format('json'));
  assert.deepEqual([hypervisorBit, complete], [null, false]);
  assert.deepEqual(answers, { hypervisorBit: 'not recorded', commonhv: 'not recorded', interfaces: 'yes' });
  assert.match(format('nfd'), /commonhv\.hypervisor-bit=not-recorded\n.*commonhv\.present=not-recorded\n/);
  assert.match(format('prometheus'), /^commonhv_hypervisor_bit NaN$/m);
  assert.match(format('prometheus'), /^commonhv_answer\{question="commonhv",answer="not recorded"\} 1$/m);
});

test('two machines in one text, and --from twice, are two answers', () => {
  const two = ['detect', '--from', 'test/dumps/02-qemu-two-guests.txt'];
  const { out } = run(two);
  assert.match(
    out,
    /the machine at line 3\n.*KVM's interface\n[\s\S]*AuthenticAMD\n\n.*line 19\n[\s\S]*GenuineIntel\n$/,
  );
  const { machines } = JSON.parse(run([...two, '--from', 'test/dumps/31-uxen.txt', '--format', 'json']).out);
  assert.deepEqual(
    machines.map(({ verdict }: { verdict: string }) => verdict),
    ["KVM's interface", "KVM's interface", 'uXen'],
  );
  const both = run([...two, '--from', 'test/dumps/31-uxen.txt', '--quiet', '--require', 'uXen']);
  assert.equal(both.status, 2); // of the first two not all was recorded
});

test('one leaf, in each format', () => {
  const leaf = ['dump', '--from', 'test/dumps/33-cpu_host.txt', '--leaf'];
  assert.equal(
    run([...leaf, '40000000']).out,
    'CPU 0:\n   0x40000000 0x00: eax=0x40000001 ebx=0x4b4d564b ecx=0x564b4d56 edx=0x0000004d\n',
  );
  assert.match(
    run([...leaf, 'd', '--subleaf', '1', '--format', 'aida64']).out,
    /^CPUID 0000000D: 0000000F-00000A08-00000000-00000000 \[SL 01\]$/m,
  );
  assert.match(run([...leaf, '4f000000']).err, /leaf 0x4f000000 subleaf 0 was not recorded/);
  assert.match(run(['dump', '--subleaf', '1']).err, /--subleaf goes with --leaf/);
  const model = run(['dump', '--engine', 'model', '--leaf', '4f000000']);
  assert.match(model.out, /0x4f000000 0x00: eax=0x4f000003 ebx=0x6d6d6f43/);
});

test('16 MB of dump take less than 1.5 s of CPU', () => {
  const one = readFileSync('test/dumps/33-cpu_host.txt', 'utf8');
  const text = Array.from({ length: Math.ceil(16e6 / one.length) }, (_, i) => `CPU ${i}:\n${one}`).join('');
  const script = `const { parseDump } = await import('commonhv/cpuid-dump');
    const { readFileSync } = await import('node:fs');
    const before = process.cpuUsage();
    const { cpus } = parseDump(readFileSync(process.argv[1]));
    const { user, system } = process.cpuUsage(before);
    console.log(cpus.length, (user + system) / 1e6);`;
  const done = spawnSync(process.execPath, ['--input-type=module', '-e', script, file('big.txt', text)], {
    encoding: 'utf8',
  });
  const [cpus, seconds] = done.stdout.trim().split(' ').map(Number);
  assert.equal(cpus, Math.ceil(16e6 / one.length));
  assert.ok(seconds! < 3, `${seconds} s`); // twice the bound: CPU time grows where processors are shared
});
