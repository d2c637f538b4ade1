/** Recorded machines come out as what they are: ours, and those that are handed out beside the project. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { parseDump, replay } from 'commonhv/cpuid-dump';
import { type Detection, detect } from 'commonhv/guest';

const read = (file: string) => parseDump(readFileSync(file, 'latin1'));

/** The hypervisor bit and the interfaces, as the manifest of recorded machines writes them. */
function summary({ hypervisorBit, interfaces, commonhv }: Detection): string {
  // The manifest lists by location; CommonHV's order is its hypervisor's.
  const list = [...interfaces]
    .sort((a, b) => a.location - b.location)
    .map(({ location, signature }) => `0x${location.toString(16)}=${escaped(signature)}`);
  if (commonhv !== undefined) list.push('0x4f000000=CommonHVIntf');
  return `hvbit=${Number(hypervisorBit)} ${list.length > 0 ? list.join(';') : 'none'}`;
}
const escaped = (text: string): string => text.replaceAll('\0', '\\x00');

const KVM = '0x40000000=KVMKVMKVM\\x00\\x00\\x00';
const OURS: Readonly<Record<string, string>> = {
  'bochs-2.7.txt': 'hvbit=0 none',
  'kvm-amd.txt': `hvbit=1 ${KVM}`,
  'kvm-intel.txt': `hvbit=1 ${KVM}`,
  'kvm-off.txt': 'hvbit=1 none',
  'qemu-tcg-hidden.txt': 'hvbit=0 0x40000000=TCGTCGTCGTCG',
  'qemu-tcg-max.txt': 'hvbit=1 0x40000000=TCGTCGTCGTCG',
  'v86-draft1.txt': 'hvbit=1 0x40000000=VMwareVMware;0x40000100=TCGTCGTCGTCG;0x4f000000=CommonHVIntf',
  'v86-draft2-hidden.json': 'hvbit=0 0x40000000=VMwareVMware;0x4f000000=CommonHVIntf',
  'v86-draft3.txt': 'hvbit=1 0x40000000=VMwareVMware;0x40000000=TCGTCGTCGTCG;0x4f000000=CommonHVIntf',
  'xen-4.17-dom0.txt': 'hvbit=1 0x40000000=XenVMMXenVMM',
};

test('machines that our own tools recorded', async () => {
  const folder = 'test/machines';
  const files = readdirSync(folder).filter((file) => /\.(txt|json)$/.test(file));
  assert.deepEqual(files.sort(), Object.keys(OURS));
  for (const [file, expected] of Object.entries(OURS)) {
    const { cpus, problems } = read(join(folder, file));
    assert.deepEqual([cpus.length, problems], [1, []], file);
    assert.equal(summary(await detect(replay(cpus[0]!))), expected, file);
  }
});

test('the drafts of those under CommonHV, and what they prefer', async () => {
  const about = async (file: string) => {
    const { commonhv, interfaces } = await detect(replay(read(join('test/machines', file)).cpus[0]!));
    return { ...commonhv, confirmed: interfaces.map(({ confirmed }) => confirmed) };
  };
  const first = await about('v86-draft1.txt');
  assert.deepEqual([first.draft, first.preferred, first.confirmed], [1, undefined, [true, false]]);
  assert.deepEqual(first.rng, { msr: 0x400000a0, input: true, secure: undefined });
  assert.equal((await about('v86-draft2-hidden.json')).draft, 2);
  const third = await about('v86-draft3.txt');
  assert.deepEqual([third.draft, third.preferred, third.confirmed], [3, 2, [true, false]]);
  assert.deepEqual(third.rng, { msr: 0x400000a0, input: false, secure: true });
  assert.deepEqual(third.generation, { msr: 0x400000a1, ack: false, pageMsr: undefined });
});

test('recorded machines are as the manifest of those who recorded them says', async () => {
  const [, ...rows] = readFileSync('test/fixtures/recorded-machines.tsv', 'utf8').trimEnd().split('\n');
  for (const row of rows) {
    const [file = '', , , , , expected = ''] = row.split('\t');
    const { cpus } = read(join('test/dumps', file));
    assert.equal(cpus.length, 1, file);
    const cpu = replay(cpus[0]!);
    const said = [summary(await detect(cpu))];
    // "Hv#1" in the leaf after the first: what the command line tells as an aside.
    if (cpu.cpuid(0x40000001, 0).eax === 0x31237648) said.push('0x40000001.eax=Hv#1');
    assert.equal(said.join(';'), expected, file);
  }
  assert.ok(rows.length > 0);
});
