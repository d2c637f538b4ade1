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
