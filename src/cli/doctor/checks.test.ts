/** The doctor on machines made of files: each kind of protection, and each way in which it cannot be seen. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bare, type Regs } from '../../cpu.ts';
import { detect } from '../../guest/index.ts';
import { diagnose } from './checks.ts';
import { diagnosisJson, diagnosisPrometheus, diagnosisText } from './report.ts';
import type { World } from './world.ts';

interface Machine {
  readonly files?: Readonly<Record<string, string>>;
  readonly denied?: readonly string[];
  readonly links?: Readonly<Record<string, string>>;
  readonly log?: readonly string[] | 'denied';
  readonly release?: string;
  readonly leaves?: Readonly<Record<number, Regs>>;
  readonly blind?: boolean;
  readonly sysfs?: boolean;
}

function world({
  files = {},
  denied = [],
  links = {},
  log = [],
  release = '6.1.0-1',
  leaves = {},
  blind,
  sysfs = true,
}: Machine): World {
  const paths = [...Object.keys(files), ...Object.keys(links), ...denied, ...(sysfs ? ['/sys/bus/cpu'] : [])];
  return {
    read: (path) =>
      denied.includes(path) ? 'denied' : files[path] === undefined ? 'absent' : { text: files[path] },
    list: (path) => [
      ...new Set(
        paths
          .filter((name) => name.startsWith(`${path}/`))
          .map((name) => name.slice(path.length + 1).split('/')[0]!),
      ),
    ],
    link: (path) =>
      denied.includes(path) ? 'denied' : links[path] === undefined ? 'absent' : { text: links[path] },
    log: () => log,
    release,
    detection: async () =>
      blind
        ? undefined
        : detect({ ...bare, cpuid: (leaf, subleaf) => leaves[leaf] ?? bare.cpuid(leaf, subleaf) }),
  };
}

const COMMONHV: Record<number, Regs> = {
  1: { eax: 0, ebx: 0, ecx: 0x8000_0000, edx: 0 },
  1325400064: { eax: 0x4f00_0003, ebx: 0x6d6d_6f43, ecx: 0x5648_6e6f, edx: 0x6674_6e49 },
  1325400066: { eax: 5, ebx: 3, ecx: 0, edx: 0 },
  1325400067: { eax: 0x4000_00a0, ebx: 1, ecx: 0x4000_00a1, edx: 0 },
};

async function states(machine: Machine) {
  const diagnosis = await diagnose(world(machine));
  return { ...diagnosis, by: new Map(diagnosis.checks.map((check) => [check.id, check])) };
}

test('a machine with nothing is not protected', async () => {
  const { protected: safe, result, by } = await states({ leaves: { 1: COMMONHV[1]! } });
  assert.equal(safe, false);
  assert.match(result, /copies share their random numbers/);
  assert.equal(by.get('vmgenid')?.state, 'weak');
});

test('kernels: a forced reseed works from 5.18, needs credit from 4.14, is missing before', async () => {
  for (const [release, state] of [
    ['6.12.1', 'good'],
    ['5.18.0', 'good'],
    ['5.17.9', 'weak'],
    ['4.14.0', 'weak'],
    ['4.13.9', 'bad'],
    ['odd', 'unknown'],
  ] as const)
    assert.equal((await states({ release })).by.get('kernel')?.state, state, release);
});

test('VMGenID: bound protects; a device without a driver does not, and the remedy depends on the kernel', async () => {
  for (const bus of ['acpi', 'platform']) {
    const bound = await states({ files: { [`/sys/bus/${bus}/drivers/vmgenid/QEMUVGID:00`]: '' } });
    assert.deepEqual([bound.protected, bound.by.get('vmgenid')?.state], [true, 'good']);
  }
  const idle = {
    '/sys/bus/acpi/drivers/vmgenid/bind': '',
    '/sys/bus/acpi/devices/QEMUVGID:00/modalias': 'acpi:QEMUVGID:VM_GEN_COUNTER:',
  };
  const unbound = await states({ files: idle });
  assert.deepEqual([unbound.protected, unbound.by.get('vmgenid')?.state], [false, 'bad']);
  assert.match((await states({ files: idle, release: '5.10.0' })).by.get('vmgenid')?.remedy ?? '', /5\.18/);
});

test('VMGenID: of the device tree; without sysfs nothing is claimed', async () => {
  const modalias = '/sys/bus/platform/devices/8000000.vmgenid/modalias';
  const tree = await states({ files: { [modalias]: 'of:NvmgenidT(null)Cmicrosoft,vmgenid\n' } });
  assert.deepEqual(
    [tree.protected, tree.by.get('vmgenid')?.state, tree.by.get('vmgenid')?.evidence],
    [false, 'bad', '/sys/bus/platform/devices/8000000.vmgenid'],
  );
  const masked = await states({ sysfs: false, leaves: { 1: COMMONHV[1]! } });
  assert.deepEqual([masked.protected, masked.by.get('vmgenid')?.state], [undefined, 'unknown']);
});

test('CommonHV: a generation that nobody looks at is no protection; driver or agent is', async () => {
  const offered = await states({ leaves: COMMONHV });
  assert.deepEqual([offered.protected, offered.by.get('commonhv')?.state], [false, 'bad']);
  const agent = await states({ leaves: COMMONHV, files: { '/proc/77/comm': 'commonhv-agent\n' } });
  assert.deepEqual([agent.protected, agent.by.get('commonhv')?.evidence], [true, 'process 77']);
  const unable = { '/proc/77/comm': 'commonhv-agent\n', '/run/commonhv/status': '{"reseeded":false}' };
  assert.equal((await states({ leaves: COMMONHV, files: unable })).protected, false);
  const driver = await states({ files: { '/sys/devices/platform/commonhv/draft': '3' } });
  assert.equal(driver.protected, true);
  const blind = await states({ blind: true });
  assert.equal(blind.protected, undefined);
});

test('a driver for MSRs is asked for only where there may be a generation to read', async () => {
  const remedy = async (machine: Machine) => (await states(machine)).by.get('msr')?.remedy;
  assert.equal(await remedy({ leaves: COMMONHV }), 'modprobe msr');
  assert.equal(await remedy({ blind: true }), 'modprobe msr');
  assert.equal(await remedy({}), undefined);
});

test('vmclock: its generation counter is told; without the right to read it nothing is claimed', async () => {
  const page = `VCLK${'\0'.repeat(21)}\x01${'\0'.repeat(90)}`;
  const text = async (machine: Machine) => (await states(machine)).by.get('vmclock')?.text;
  assert.match(
    (await text({ files: { '/dev/vmclock0': page } }))!,
    /has a generation counter; it does not reseed/,
  );
  assert.match(
    (await text({ files: { '/dev/vmclock0': page.replace('\x01', '\0') } }))!,
    /has no generation counter/,
  );
  const denied = await states({ denied: ['/dev/vmclock0'] });
  assert.deepEqual([denied.by.get('vmclock')?.state, denied.protected], ['unknown', false]);
});

test('restores are counted in the kernel’s log; a log that may not be read is said', async () => {
  const fork = '6,1,2,-;random: crng reseeded due to virtual machine fork';
  assert.equal((await states({ log: ['boot', fork, fork] })).resumed, 2);
  assert.equal((await states({ log: 'denied' })).resumed, undefined);
  const status = { '/run/commonhv/status': '{"restores":3,"reseeded":false,"why":"too old\\u001b[2J"}' };
  const reported = await states({ log: 'denied', files: status });
  assert.equal(reported.resumed, 3);
  assert.match(reported.by.get('status')?.text ?? '', /^the agent did not reseed: too old \[2J$/);
  assert.ok(await states({ files: { '/run/commonhv/status': 'no JSON' } }));
});

test('programs with generators of their own are counted, also by the OpenSSL that they have', async () => {
  const text = async (machine: Machine) => {
    const check = (await states(machine)).by.get('processes')!;
    return `${check.state} ${check.text}`;
  };
  const links = {
    '/proc/1/exe': '/sbin/init',
    '/proc/20/exe': '/usr/bin/node',
    '/proc/21/exe': '/opt/node (deleted)',
    '/proc/22/exe': '/usr/sbin/sshd',
    '/proc/self/exe': '/usr/bin/node',
  };
  const maps = {
    '/proc/20/maps': '7f r-xp /usr/lib/libcrypto.so.3',
    '/proc/22/maps': 'r /lib/libcrypto.so.3',
  };
  assert.match(await text({ links, files: maps }), /^weak .*: node 2, sshd \(OpenSSL\) 1$/);
  assert.match(
    await text({ links: { '/proc/1/exe': '/sbin/init', '/proc/2/comm': 'kthreadd' } }),
    /^good no running/,
  );
});

test('an ordinary user: programs by the name that the kernel keeps, and nothing is claimed of what is hidden', async () => {
  const text = async (machine: Machine) => {
    const check = (await states(machine)).by.get('processes')!;
    return `${check.state} ${check.text}`;
  };
  const denied = ['/proc/1/exe', '/proc/1/maps', '/proc/30/exe', '/proc/30/maps'];
  const files = { '/proc/1/comm': 'systemd\n', '/proc/30/comm': 'python3\n' };
  assert.match(
    await text({ denied, files }),
    /^weak .*: python3 1; 2 of 2 processes are seen by name alone$/,
  );
  const quiet = { denied: denied.slice(0, 2), files: { '/proc/1/comm': 'systemd\n' } };
  assert.match(await text(quiet), /^unknown no running program .*; 1 of 1 processes are seen by name alone$/);
  assert.match(await text({ links: { '/proc/40/exe': '/bin/sh' } }), /^unknown .* may not be seen$/);
});

test('text, JSON and Prometheus say the same', async () => {
  const diagnosis = await diagnose(world({ leaves: COMMONHV }));
  assert.match(
    diagnosisText(diagnosis, (_, text) => text),
    /^bad +CommonHV: offers a generation.*\n +→ load commonhv\.ko/m,
  );
  assert.equal(JSON.parse(diagnosisJson(diagnosis)).protected, false);
  assert.match(diagnosisPrometheus(diagnosis), /^commonhv_protected 0$/m);
  assert.match(diagnosisPrometheus(diagnosis), /^commonhv_check\{check="commonhv",state="bad"\} 1$/m);
});
