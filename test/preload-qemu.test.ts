/** `commonhv preload` with Debian's unmodified QEMU on a real KVM: the checker, and the generation through save and restore. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { probeDisk } from 'commonhv/probe';
import { skip as skipKvm } from './support/kvm-availability.ts';
import { emptyQcow2, type Qemu, startQemu } from './support/qemu-monitor.ts';
import { skipUnless } from './support/require.ts';
import { scaled } from './support/time.ts';

const QEMU = 'qemu-system-x86_64';
/** Built by scripts/build-tests.js, for machines without a compiler such as the bed. */
const LIBRARY = 'c/preload/libcommonhv-preload.so';
const has = (program: string): boolean => spawnSync(program, ['--version']).status === 0;
const skip =
  skipKvm ||
  skipUnless('qemu', has(QEMU), `${QEMU} is not installed`) ||
  skipUnless('cc', existsSync(LIBRARY) || has('cc'), 'the library is not built and there is no C compiler');
const limit = { timeout: scaled(600_000), skip };
const work = mkdtempSync(join(tmpdir(), 'commonhv-preload-'));
after(() => rmSync(work, { recursive: true, force: true }));

const PRELOAD = [
  ...[process.execPath, 'dist/cli/bin.cjs', 'preload'],
  ...(existsSync(LIBRARY) ? ['--library', LIBRARY] : []),
];
// This CPU model needs nothing of the host, which may be an emulator itself.
const MACHINE = '-accel kvm -cpu qemu64 -m 16 -nodefaults -display none -serial stdio';

/**
 * In the bed a question takes 80 ms, and the rules of random values ask 3,414. There the rules of this list are checked, which
 * ask 37 together; with COMMONHV_LONG, as the cell of the matrix sets it, all of them.
 */
const QUICK_RULES = [
  ...['discovery.hypervisor-bit', 'discovery.leaf', 'discovery.max-leaf', 'discovery.registers-leaf'],
  ...['discovery.subleaves', 'discovery.beyond-max', 'interfaces.count', 'interfaces.preferred'],
  ...['interfaces.bound', 'features.input', 'features.reserved-bits', 'features.page-needs'],
  ...['features.acknowledgement-needs', 'msrs.two', 'msrs.free', 'msrs.reserved-bits', 'msrs.reserved'],
];
const inBed = process.env.COMMONHV_BED !== undefined;
const few = inBed && process.env.COMMONHV_LONG === undefined;
const only = few ? QUICK_RULES.flatMap((rule) => ['--only', rule]) : [];

function verify(options: string, machine: string): { failed: number; passed: number; text: string } {
  const command = `${PRELOAD.join(' ')} ${options} -- ${QEMU} ${MACHINE} ${machine} -kernel {probe}`;
  const args = [
    'dist/cli/bin.cjs',
    'verify',
    '--exec',
    command,
    '--format',
    'json',
    '--timeout',
    `${scaled(150)}`,
    ...only,
  ];
  const { stdout, stderr } = spawnSync(process.execPath, args, {
    encoding: 'utf8',
    timeout: scaled(200_000),
  });
  if (stdout === '') throw new Error(stderr);
  const { failed, passed, rules } = JSON.parse(stdout);
  const broken = rules.filter(({ outcome }: { outcome: string }) => outcome === 'failed');
  return { failed, passed, text: JSON.stringify(broken) };
}

for (const [name, options, machine] of [
  ['as it comes', '', ''],
  [
    'in its sandbox, with two vCPUs',
    '--require',
    '-smp 2 -sandbox on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny',
  ],
] as const) {
  // The bed is an emulator in an emulator: once there.
  if (inBed && options === '') continue;
  test(`verify finds no failure in QEMU ${name}`, limit, (t) => {
    const { failed, passed, text } = verify(options, machine);
    t.diagnostic(`${passed} rules passed${few ? ', of the quick ones alone: this is the bed' : ''}`);
    assert.equal(failed, 0, text);
    assert.ok(passed >= (few ? QUICK_RULES.length : 30), `${passed} passed`);
  });
}

const kernel = join(work, 'probe.img');
const disk = join(work, 'disk.qcow2');
const status = join(work, 'status');
let started = 0;
function start(...more: readonly string[]): Promise<Qemu> {
  const machine = [...MACHINE.split(' '), '-smp', '2', '-kernel', kernel];
  const drive = ['-drive', `if=none,id=d,file=${disk},format=qcow2`, '-device', 'virtio-blk-pci,drive=d'];
  const options = ['--require', '--status', status];
  return startQemu(
    [...PRELOAD, ...options, '--', QEMU, ...machine, ...drive, ...more],
    join(work, `m${started++}`),
  );
}
const generation = (qemu: Qemu): Promise<string> => qemu.ask('r 400000a1', /r (\w{8} \w{8})\r?\n/);
const random = (qemu: Qemu): Promise<string> => qemu.ask('r 400000a0', /r (\w{8} \w{8})\r?\n/);
const events = (): string[] =>
  readFileSync(status, 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line).event);

test(
  'the generation is renewed by loadvm and -incoming, twice each, and by nothing else',
  limit,
  async () => {
    writeFileSync(kernel, probeDisk());
    writeFileSync(disk, emptyQcow2());
    const qemu = await start();
    try {
      await qemu.greeting();
      const first = await generation(qemu);
      for (const command of [['stop', 'cont'], ['stop', 'info registers', 'cont'], ['savevm a']]) {
        for (const line of command) await qemu.monitor(line);
        assert.equal(await generation(qemu), first, command.join(', '));
      }
      assert.match(await qemu.monitor('info snapshots'), /\ba\b/);
      await qemu.monitor('loadvm a');
      const [second, value] = [await generation(qemu), await random(qemu)];
      await qemu.monitor('loadvm a');
      const [third, other] = [await generation(qemu), await random(qemu)];
      assert.equal(new Set([first, second, third]).size, 3);
      assert.notEqual(value, other);
      await qemu.monitor('system_reset');
      await qemu.greeting();
      assert.equal(await generation(qemu), third, 'system_reset');
      assert.deepEqual(events(), ['started', 'restored', 'restored']);
      await qemu.monitor('stop');
      await qemu.monitor(`migrate exec:cat>${work}/state`);
      await qemu.until(() => existsSync(join(work, 'state')), 'state');
      for (let i = 0; i < 200 && !/status: completed/.test(await qemu.monitor('info migrate')); i++);
      await qemu.close();
      const copies = [await incoming(), await incoming()];
      assert.equal(new Set([first, second, third, ...copies]).size, 5);
    } finally {
      await qemu.close();
    }
  },
);

async function incoming(): Promise<string> {
  const qemu = await start('-incoming', `exec:cat<${work}/state`);
  try {
    for (let i = 0; i < 2000 && /inmigrate/.test(await qemu.monitor('info status')); i++);
    await qemu.monitor('cont');
    return await generation(qemu);
  } finally {
    await qemu.close();
  }
}
