/** `detect --features` and `--diff`: names of the public specifications, typed here again; exit status as diff(1). */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { skipUnless } from './support/require.ts';

const folder = mkdtempSync(join(tmpdir(), 'commonhv-'));
after(() => rmSync(folder, { recursive: true }));

function detect(...args: string[]) {
  const done = spawnSync(process.execPath, ['dist/cli/bin.cjs', 'detect', ...args], {
    encoding: 'utf8',
    timeout: 60_000,
  });
  return { status: done.status, out: done.stdout, err: done.stderr };
}

function row(leaf: string, eax: string, ebx = '00000000', ecx = '00000000', edx = '00000000'): string {
  return `   0x${leaf} 0x00: eax=0x${eax} ebx=0x${ebx} ecx=0x${ecx} edx=0x${edx}\n`;
}
function file(name: string, ...rows: string[]): string {
  writeFileSync(join(folder, name), `CPU 0:\n${rows.join('')}`);
  return join(folder, name);
}

interface Feature {
  readonly leaf: string;
  readonly register: string;
  readonly names: readonly string[];
  readonly fields: Readonly<Record<string, number>>;
  readonly unknown: string | null;
}

test('KVM: features and hints by name, unknown bits as such', () => {
  const kvm = row('40000000', '40000001', '4b4d564b', '564b4d56', '0000004d');
  // linux/Documentation/virt/kvm/x86/cpuid.rst: 0 clocksource, 3 clocksource2, 24 clocksource_stable; 30 is no one's.
  const dump = file('kvm', kvm, row('40000001', '41000009', '00000000', '00000000', '00000001'));
  const { features } = JSON.parse(detect('--from', dump, '--features', '--format', 'json').out);
  const [eax, edx] = features as readonly Feature[];
  assert.deepEqual(eax!.names, ['clocksource', 'clocksource2', 'clocksource_stable']);
  assert.deepEqual([eax!.leaf, eax!.register, eax!.unknown], ['0x40000001', 'eax', '0x40000000']);
  assert.deepEqual([edx!.names, edx!.unknown], [['realtime'], null]);
  assert.match(detect('--from', dump, '--features').out, /clocksource_stable, unknown bits 0x40000000\n/);
});

test('Hyper-V beside KVM: each from its own base, and only leaves that were recorded', () => {
  const { features } = JSON.parse(
    detect('--from', 'test/dumps/30-proxmox.txt', '--features', '--format', 'json').out,
  );
  const at = (leaf: string, register: string): Feature =>
    features.find((one: Feature) => one.leaf === leaf && one.register === register);
  assert.deepEqual(at('0x40000002', 'eax').fields, { build: 14393 });
  // TLFS: 2E7FH is bits 0 to 6, 9, 10, 11 and 13.
  assert.deepEqual(at('0x40000003', 'eax').names, [
    ...[
      'VP runtime',
      'reference counter',
      'SynIC',
      'synthetic timers',
      'APIC MSRs',
      'hypercall MSRs',
      'VP index',
    ],
    ...['reference TSC', 'guest idle MSR', 'frequency MSRs', 'reenlightenment'],
  ]);
  assert.ok(at('0x40000101', 'eax').names.includes('pv_tlb_flush'));
  assert.equal(at('0x40000004', 'eax'), undefined); // 40000004H is not in this dump
});

test('Xen: version, time and HVM', () => {
  const { out } = detect('--from', 'test/dumps/06-xtf.txt', '--features');
  assert.match(out, /Xen +0x40000001\.eax +version +major 4, minor 11\n/);
  assert.match(out, /0x40000003\.ecx +TSC frequency in kHz +2500002\n/);
  assert.match(out, /0x40000004\.eax +HVM +IOMMU mappings of foreign memory, vCPU id, domain id\n/);
});

test('hostile leaves are bounded, and nothing is decoded beyond the highest leaf', () => {
  const kvm = row('40000000', 'ffffffff', '4b4d564b', '564b4d56', '0000004d');
  const dump = file('hostile', kvm, row('40000001', 'ffffffff', 'ffffffff', 'ffffffff', 'ffffffff'));
  const { status, out } = detect('--from', dump, '--features');
  assert.equal(status, 0);
  assert.match(out, /hints +realtime, unknown bits 0xfffffffe\n/);
  const { features } = JSON.parse(
    detect(
      '--from',
      file('root', row('40000000', '40000000', '4b4d564b', '564b4d56', '0000004d')),
      '--features',
      '--format',
      'json',
    ).out,
  );
  assert.deepEqual(features, []);
});

test('--diff: 0 for a dump and itself, 1 for two machines, 2 on trouble', () => {
  const [a, b] = ['test/dumps/03-vbox-kvm-provider.txt', 'test/dumps/33-cpu_host.txt'];
  assert.deepEqual(detect('--diff', a, a), { status: 0, out: '', err: '' });
  const two = detect('--diff', a, b);
  assert.equal(two.status, 1);
  const [title, , first] = two.out.split('\n');
  assert.equal(title, `${a} -> ${b}`);
  assert.match(first!, /^0x40000001\.eax +KVM features +- +-> +nop_io_delay, async_pf, steal_time/);
  assert.match(two.out, /0x00000007\.ebx +processor features +.* -> .*avx512f/);
  assert.match(two.err, /rows are in one dump only and not compared\n$/);
  // A list of many names pushes no other line aside.
  const far = two.out.split('\n').map((line) => line.indexOf(' -> '));
  assert.ok(Math.max(...far.slice(2)) < 400 && far.filter((at) => at > 100).length < 10, two.out);
  assert.equal(detect('--diff', b, a, '--quiet').out, '');
  const { differences } = JSON.parse(detect('--diff', a, b, '--format', 'json').out);
  assert.equal(differences[0].place, '0x40000001.eax');
  for (const [args, expected] of [
    [['--diff', a, file('empty')], /no leaf could be read/],
    [['--diff', a, '/nowhere'], /\/nowhere: there is no such file/],
    [['--diff', a, b, a], /--diff: expected two dumps, or one .* got 3/],
    [['--diff', a, b, '--format', 'nfd'], /--diff with --format nfd: expected text or json/],
    [['--diff', a, b, '--require', 'KVM'], /--diff: expected without --from/],
    [['--from', a, '--features', '--format', 'nfd'], /--features with --format nfd/],
  ] as const) {
    const { status, out, err } = detect(...args);
    assert.deepEqual([status, out], [2, ''], err);
    assert.match(err, expected);
  }
});

test('--diff: the verdict comes first, and APIC ids are no difference', () => {
  const cpu = (apic: string) => row('00000001', '000306e4', `${apic}400800`, '80000000');
  const leaf = (text: string) => row('40000000', '40000001', text, '564b4d56', '0000004d');
  const one = file('one', cpu('00'), leaf('4b4d564b'));
  assert.equal(detect('--diff', one, file('other', cpu('07'), leaf('4b4d564b'))).status, 0);
  const { out } = detect('--diff', one, file('third', cpu('00'), leaf('4b4d564c')));
  assert.match(out, /\n\nhypervisor +KVM's interface +-> +"LVMKVMKVM"\n/);
});

const promtool = spawnSync('promtool', ['--version']).status === 0;
test("the fleet's alert rules are rules", {
  skip: skipUnless('promtool', promtool, 'promtool is not installed (prometheus)'),
}, () => {
  const { status, stdout, stderr } = spawnSync('promtool', ['check', 'rules', 'examples/fleet/alerts.yml'], {
    encoding: 'utf8',
  });
  assert.deepEqual([status, stderr], [0, '']);
  assert.match(stdout, /SUCCESS: 3 rules found/);
});

test('Hyper-V: every list of hvgdk_mini.h and hvdef, the virtualization stack above it, no bit of theirs unknown', () => {
  const ones = ['ffffffff', 'ffffffff', 'ffffffff', 'ffffffff'] as const;
  const dump = file(
    'hyperv',
    row('40000000', '4000000c', '7263694d', '666f736f', '76482074'),
    row('40000001', '31237648'),
    row('40000002', '00004563', '000a0000', '00000007', '05000123'),
    ...['3', '4', '6', '7', '8', '9', 'a', 'c'].map((digit) => row(`4000000${digit}`, ...ones)),
    row('40000081', '31235356'),
    row('40000082', '00000007'),
  );
  const { features } = JSON.parse(detect('--from', dump, '--features', '--format', 'json').out);
  const at = (leaf: string, register: string): Feature =>
    features.find((one: Feature) => one.leaf === `0x400000${leaf}` && one.register === register);
  assert.deepEqual(
    [at('02', 'ecx').fields, at('02', 'edx').fields],
    [{ 'service pack': 7 }, { branch: 5, number: 0x123 }],
  );
  // Reserved in hvdef: privileges 16 to 31 and 41, 42, 50, 55 to 63; power management from 11 on; recommendations from 24 on;
  // hardware features 28 to 31; all but 0 to 2 and 31 of CPU management.
  for (const [leaf, register, unknown] of [
    ['03', 'eax', '0xffff0000'],
    ['03', 'ebx', '0xff840600'],
    ['03', 'ecx', '0xfffff800'],
    ['03', 'edx', null],
    ['04', 'eax', '0xff000000'],
    ['06', 'eax', '0xf0000000'],
    ['07', 'eax', '0x7ffffff8'],
    // TLFS: EBX 0 to 2 and ECX 0 of 7; 0 and 11 to 31 of 8; 2, 4 to 6 and 12 of EAX, 4, 15 and 17 of EDX of 9.
    ['07', 'ebx', '0xfffffff8'],
    ['07', 'ecx', '0xfffffffe'],
    ['08', 'eax', '0x000007fe'],
    ['09', 'eax', '0xffffef8b'],
    ['09', 'edx', '0xfffd7fef'],
    ['0a', 'eax', '0xff810000'],
    ['0a', 'ebx', '0xfffffffe'],
    ['0c', 'eax', '0xfffffffe'],
    ['0c', 'ebx', '0xfffff010'],
  ] as const)
    assert.equal(at(leaf, register).unknown, unknown, `${leaf} ${register}`);
  assert.deepEqual(at('82', 'eax').names, ['portable', 'debug device', 'extended IOAPIC entries']);
});

test('confidential guests at a glance: SEV by its leaf, TDX by the widths of its addresses; VMware tells its hypercall', () => {
  const sev = file(
    'sev',
    row('00000000', '00000001', '68747541', '444d4163', '69746e65'),
    row('80000000', '8000001f'),
    row('8000001f', '0000001e', '00000173', '00000040', '00000011'),
  );
  const shown = detect('--from', sev, '--features').out;
  // AMD64 manual volume 3, CPUID 8000001FH: SEV 1, page flush 2, SEV-ES 3, SEV-SNP 4; C-bit 5:0, reduction 11:6.
  assert.match(shown, /0x8000001f\.eax +features +SEV, page flush MSR, SEV-ES, SEV-SNP\n/);
  assert.match(shown, /0x8000001f\.ebx +addresses +C-bit 51, reduced physical bits 5, VMPLs 0\n/);
  assert.match(shown, /0x8000001f\.edx +first ASID of guests with SEV alone +17\n/);
  const tdx = file(
    'tdx',
    row('00000000', '00000021', '756e6547', '6c65746e', '49656e69'),
    row('00000021', '00000000', '65746e49', '20202020', '5844546c'),
    row('80000000', '80000008'),
    row('80000008', '00343034'),
  );
  assert.match(
    detect('--from', tdx, '--features').out,
    /Intel TDX +0x80000008\.eax +address bits +guest-physical 52, physical 52, linear 48\n/,
  );
  const vmware = file(
    'vmware',
    row('40000000', '40000010', '61774d56', '4d566572', '65726177'),
    row('40000010', '00200000', '000101d0', '00000002'),
  );
  assert.match(detect('--from', vmware, '--features').out, /0x40000010\.ecx +hypercalls +VMCALL\n/);
});

test('--diff of hostile pairs is bounded and clear: leaves in every slot, ones against zeros, the same signature at two places', () => {
  const ones = ['ffffffff', 'ffffffff', 'ffffffff', 'ffffffff'] as const;
  const slots = [...Array(256).keys()].map((i) => (0x4000_0000 + 256 * i).toString(16));
  const full = file(
    'full',
    ...slots.flatMap((leaf) => [row(leaf, ...ones), row(leaf.replace(/0$/, '1'), ...ones)]),
  );
  const kvm = slots.map((leaf) => row(leaf, leaf, '4b4d564b', '564b4d56', '0000004d'));
  const same = file('same', ...kvm);
  const zeros = file('zeros', ...slots.map((leaf) => row(leaf, '00000000')), row('00000000', '00000001'));
  const clearing = file('hypervisor\u001b[2J.cpuid', ...kvm);
  for (const [a, b] of [
    [full, same],
    [same, full],
    [full, zeros],
    [zeros, same],
    [full, 'test/dumps/33-cpu_host.txt'],
  ] as const) {
    const { status, out } = detect('--diff', a, b);
    assert.equal(status, 1);
    assert.ok(out.split('\n').length < 1300, `${out.split('\n').length} lines`);
    assert.ok(out.length < 200_000, `${out.length} characters`);
    assert.doesNotMatch(out, /[^\n -~]/);
  }
  const { out, err } = detect('--diff', clearing, full);
  assert.ok(!(out + err).includes('\u001b'));
  assert.equal(detect('--diff', same, same).status, 0);
});
