/** The suite, the probe and its image forms against a real hypervisor that is not ours: QEMU's emulator, TCG. */
import assert from 'node:assert/strict';
import { type ChildProcess, execFile, spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import type { Console, Cpu, Regs } from 'commonhv';
import { overSerial, probeDisk, probeImage } from 'commonhv/probe';
import { skipUnless } from './support/require.ts';
import { scaled } from './support/time.ts';

const QEMU = 'qemu-system-x86_64';
const has = (program: string): boolean => spawnSync(program, ['--version']).status === 0;
const skip = skipUnless('qemu', has(QEMU), `${QEMU} is not installed`);
const limit = { timeout: scaled(120_000) };
const work = mkdtempSync(join(tmpdir(), 'commonhv-qemu-'));
after(() => rmSync(work, { recursive: true, force: true }));

const BARE = '-accel tcg -m 16 -net none -no-reboot';

interface Ended {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

function commonhv(...args: readonly string[]): Promise<Ended> {
  return new Promise((resolve) => {
    const child = execFile(
      process.execPath,
      ['dist/cli/bin.js', ...args],
      { timeout: scaled(100_000) },
      (_, stdout, stderr) => resolve({ status: child.exitCode, stdout, stderr }),
    );
  });
}

/** QEMU does not speak CommonHV: a clear no, and the other rules are skipped because of it. */
function assertAbsent({ status, stdout, stderr }: Ended): void {
  assert.equal(status, 1, stdout + stderr);
  const { draft, failed, warned, passed, skipped, rules } = JSON.parse(stdout);
  assert.deepEqual({ draft, failed, warned, passed }, { draft: null, failed: 1, warned: 0, passed: 0 });
  assert.equal(skipped, rules.length - 1);
  const broken = rules.find(({ outcome }: { outcome: string }) => outcome === 'failed');
  assert.equal(broken.id, 'discovery.leaf');
  assert.match(broken.detail, /expected EBX 0x6d6d6f43 .* got EBX 0x/);
}

const WAYS: readonly (readonly [what: string, command: string])[] = [
  ['as a multiboot kernel', `${QEMU} ${BARE} -nographic -kernel {probe}`],
  [
    'with every feature, which echoes leaves that it lacks',
    `${QEMU} ${BARE} -cpu max -nographic -kernel {probe}`,
  ],
  ['as a raw disk, by SeaBIOS', `${QEMU} ${BARE} -nographic -drive file={probe},format=raw,snapshot=on`],
  [
    'as a raw disk of a q35 machine',
    `${QEMU} ${BARE} -M q35 -nographic -drive file={probe},format=raw,snapshot=on`,
  ],
  ['as a CD, by SeaBIOS', `${QEMU} ${BARE} -nographic -cdrom {probe}`],
  ['as a PVH kernel of a microvm', `${QEMU} ${BARE} -M microvm -nographic -kernel {probe}`],
  [
    'as a raw disk on virtio',
    `${QEMU} ${BARE} -nographic -drive file={probe},format=raw,if=virtio,snapshot=on`,
  ],
];
for (const [what, command] of WAYS) {
  test(`--exec: the probe ${what}; CommonHV is not there, exit 1`, { ...limit, skip }, async () => {
    assertAbsent(await commonhv('verify', '--exec', command, '--format', 'json'));
  });
}

test('the text says in its first line what is so', { ...limit, skip }, async () => {
  const { stdout } = await commonhv('verify', '--exec', WAYS[1]![1]);
  assert.match(stdout, /^qemu-system-x86_64 does not speak CommonHV \(asked for by draft 3\), \d+ ms\n/);
  assert.match(stdout, /\n0 passed, 1 failed, \d+ skipped\n$/);
});

/** A machine of QEMU's whose first serial line is at `chardev`; the guest boots as `image` says. */
function qemu(serial: string, ...image: readonly string[]): ChildProcess {
  const args = [...BARE.split(' '), '-display', 'none', '-monitor', 'none', '-serial', serial, ...image];
  return spawn(QEMU, args, { stdio: ['pipe', 'pipe', 'pipe'] });
}

async function ended(child: ChildProcess): Promise<void> {
  child.kill();
  if (child.exitCode === null && child.signalCode === null)
    await new Promise((resolve) => child.once('exit', resolve));
}

async function appears(path: string): Promise<void> {
  for (let i = 0; i < 200 && !existsSync(path); i++) await new Promise((resolve) => setTimeout(resolve, 50));
}

test('--serial: a socket and a terminal of a QEMU that runs already, twice each', {
  ...limit,
  skip,
}, async () => {
  const disk = join(work, 'probe.img');
  writeFileSync(disk, probeDisk());
  const socket = join(work, 'serial');
  const overSocket = qemu(`unix:${socket},server=on,wait=off`, '-kernel', disk);
  const overTerminal = qemu('pty', '-kernel', disk);
  try {
    const pty = await new Promise<string>((resolve, reject) => {
      let said = '';
      overTerminal.on('exit', () => reject(new Error(`QEMU ended: ${said}`)));
      for (const stream of [overTerminal.stdout!, overTerminal.stderr!]) {
        stream.on('data', (bytes) => {
          said += bytes;
          const path = /\/dev\/pts\/\d+/.exec(said);
          if (path !== null) resolve(path[0]);
        });
      }
    });
    await appears(socket);
    for (const address of [`unix:${socket}`, pty, `unix:${socket}`, pty])
      assertAbsent(await commonhv('verify', '--serial', address, '--format', 'json'));
  } finally {
    await ended(overSocket);
    await ended(overTerminal);
  }
});

for (const form of ['multiboot', 'pvh', 'bzimage']) {
  test(`probe --write --form ${form}: QEMU boots it as a kernel`, { ...limit, skip }, async () => {
    const kernel = join(work, `kernel-${form}`);
    const { status, stderr } = await commonhv('probe', '--write', kernel, '--form', form);
    assert.equal(status, 0, stderr);
    const command = `: {probe}; ${QEMU} ${BARE} -nographic -kernel ${kernel}`;
    assertAbsent(await commonhv('verify', '--exec', command, '--format', 'json'));
  });
}

/** The streams of a child as a guest's console. */
function consoleOf(child: ChildProcess): Console {
  return {
    readable: new ReadableStream({
      start(controller) {
        child.stdout!.on('data', (bytes: Uint8Array) => controller.enqueue(new Uint8Array(bytes)));
      },
    }),
    writable: new WritableStream({ write: (bytes) => void child.stdin!.write(bytes) }),
  };
}

const characters = (...words: readonly number[]): string => {
  const bytes = new DataView(new ArrayBuffer(4 * words.length));
  for (const [i, word] of words.entries()) bytes.setUint32(4 * i, word, true);
  return String.fromCharCode(...new Uint8Array(bytes.buffer));
};
const all = ({ eax, ebx, ecx, edx }: Regs): readonly number[] => [eax, ebx, ecx, edx];

test("the probe's answers are what QEMU's own CPU model promises", { ...limit, skip }, async () => {
  const kernel = join(work, 'model.bin');
  writeFileSync(kernel, probeImage());
  const model = 'qemu64,vendor=CommonHVtest,model-id=a guest that is asked,family=6,model=15,stepping=11';
  const child = qemu('stdio', '-kernel', kernel, '-cpu', model);
  try {
    const cpu: Cpu = await overSerial(consoleOf(child));
    const vendor = await cpu.cpuid(0, 0);
    assert.equal(characters(vendor.ebx, vendor.edx, vendor.ecx), 'CommonHVtest');
    const brand: number[] = [];
    for (const leaf of [0x8000_0002, 0x8000_0003, 0x8000_0004]) brand.push(...all(await cpu.cpuid(leaf, 0)));
    assert.equal(characters(...brand).replace(/\0+$/, ''), 'a guest that is asked');
    const basic = await cpu.cpuid(1, 0);
    assert.equal(basic.eax, 0x0000_06fb); // family 6, model 15, stepping 11
    assert.equal(basic.ecx >>> 31, 1);
    const hypervisor = await cpu.cpuid(0x4000_0000, 0);
    assert.equal(characters(hypervisor.ebx, hypervisor.ecx, hypervisor.edx), 'TCGTCGTCGTCG');
    assert.equal(hypervisor.eax, 0x4000_0001);
    assert.equal(await cpu.rdmsr(0x4000_00a0), 0n); // an unknown MSR reads 0 in TCG, and a write to it is dropped
    assert.equal(await cpu.wrmsr(0x4000_00a0, 1n), undefined);
    assert.equal(await cpu.rdmsr(0x1b), 0xfee0_0900n); // the APIC's base: enabled, of the first processor
  } finally {
    await ended(child);
  }
});

test('with -hypervisor the bit is clear and the leaves are hidden', { ...limit, skip }, async () => {
  const kernel = join(work, 'hidden.bin');
  writeFileSync(kernel, probeImage());
  const child = qemu('stdio', '-kernel', kernel, '-cpu', 'qemu64,-hypervisor');
  try {
    const cpu = await overSerial(consoleOf(child));
    assert.equal((await cpu.cpuid(1, 0)).ecx >>> 31, 0);
  } finally {
    await ended(child);
  }
});
