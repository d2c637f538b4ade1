/** Saved machines on KVM that are broken, foreign, half written or changed: refused in one line, and nothing is left. */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import {
  chmodSync,
  copyFileSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { Layer } from 'commonhv';
import { kvm } from 'commonhv/engines/kvm';
import { commonhv } from 'commonhv/hypervisor';
import { overSerial, probeImage } from 'commonhv/probe';
import { kernel, SPIN, send } from './support/guests.ts';
import { skip } from './support/kvm-availability.ts';
import { leftovers } from './support/leftovers.ts';
import { skipUnless } from './support/require.ts';
import { repetitions, scaled } from './support/time.ts';

const memory = 2 ** 21;
const bare: Layer = (host) => host;
const folder = mkdtempSync(join(tmpdir(), 'commonhv-faults-'));
after(() => rmSync(folder, { recursive: true, force: true }));
const limit = { skip, timeout: scaled(60_000) };
const spinner = kernel([...send('x'), ...SPIN]);

async function saved(): Promise<Uint8Array> {
  const machine = await kvm({ memory }).start(bare, { kernel: spinner });
  try {
    await machine.console.readable.getReader().read();
    return await machine.save();
  } finally {
    await machine.close();
  }
}

const refused = (state: Uint8Array | string, message: RegExp, layer = bare): Promise<void> =>
  assert.rejects(kvm().resume(layer, state), (error: Error) => {
    assert.match(error.message, message);
    assert.doesNotMatch(error.message, /\n/);
    assert.ok(error instanceof TypeError || error.name === 'MachineError', error.name);
    return true;
  });

/** A state whose checksum is right, whatever was changed: the SHA-256 of all but itself, up to the memory. */
function sealed(state: Uint8Array): Uint8Array {
  const view = new DataView(state.buffer, state.byteOffset);
  const end = 64 + view.getUint32(16, true) + 8 * view.getUint32(20, true);
  const digest = createHash('sha256').update(state.subarray(0, 32)).update(state.subarray(64, end)).digest();
  state.set(digest, 32);
  return state;
}

function edited(state: Uint8Array, edit: (description: Record<string, unknown>) => void): Uint8Array {
  const length = new DataView(state.buffer, state.byteOffset).getUint32(16, true);
  const description = JSON.parse(new TextDecoder().decode(state.subarray(64, 64 + length)));
  edit(description);
  const text = new TextEncoder().encode(JSON.stringify(description));
  const made = new Uint8Array(state.length - length + text.length);
  made.set(state.subarray(0, 64));
  made.set(text, 64);
  made.set(state.subarray(64 + length), 64 + text.length);
  new DataView(made.buffer).setUint32(16, text.length, true);
  return sealed(made);
}

test('a state that is truncated at any place, or longer, is refused', limit, async () => {
  const state = await saved();
  for (let i = 0; i <= 40; i++) {
    const length = Math.floor((state.length * i) / 41);
    await refused(state.subarray(0, length), /^state: (not a machine|truncated or broken: it has \d+ bytes)/);
  }
  for (const length of [63, 64, 65, state.length - 1]) await refused(state.subarray(0, length), /^state: /);
  const longer = new Uint8Array(state.length + 1);
  longer.set(state);
  await refused(longer, /^state: truncated or broken/);
});

test('a bit that flipped in header or description is noticed', limit, async () => {
  const state = await saved();
  const end = 64 + new DataView(state.buffer).getUint32(16, true);
  for (let i = 0; i < 64 + 100; i++) {
    const at = i < 64 ? i : 64 + Math.floor(((end - 64) * (i - 64)) / 100);
    const copy = state.slice();
    copy[at]! ^= 1 << (i % 8);
    await refused(copy, /^state: (not a machine|broken|truncated)/);
  }
});

test('hostile sizes and parts with a right checksum are refused before anything is made', limit, async () => {
  const state = await saved();
  const word = (at: number, value: number, size = 4): Uint8Array => {
    const copy = state.slice();
    const view = new DataView(copy.buffer);
    if (size === 4) view.setUint32(at, value, true);
    else view.setBigUint64(at, BigInt(value), true);
    return copy;
  };
  for (const value of [0xffff_ffff, 0x7fff_ffff, 0x40_0001]) {
    await refused(word(16, value), /^state: (broken|truncated)/);
    await refused(word(20, value), /^state: (broken|truncated)/);
  }
  for (const value of [0, 4096, 2 ** 32, 2 ** 52, memory + 1]) {
    await refused(sealed(word(24, value, 8)), /^state: (broken|truncated)/);
  }
  const runs = 64 + new DataView(state.buffer).getUint32(16, true);
  await refused(sealed(word(runs, 0xffff_0000)), /^state: broken: pages/);
  await refused(sealed(word(runs + 4, 0)), /^state: broken: pages/);
  // biome-ignore lint/suspicious/noExplicitAny: a description of any kind is the point
  const edits: [string, (description: any) => void][] = [
    ['vCPUs', (d) => (d.vcpus = [])],
    ['vCPUs', (d) => (d.vcpus = Array(17).fill(d.vcpus[0]))],
    ['vCPU state', (d) => (d.vcpus[0].regs = { $bytes: 'AAAA' })],
    ['vCPU state', (d) => delete d.vcpus[0].sregs2],
    ['vCPU state', (d) => (d.vcpus[0].msrs = { $bytes: 'AAAA' })],
    ['vCPU state', (d) => (d.vcpus[0].xsave = 7)],
    ['vCPU state', (d) => (d.vcpus[0] = null)],
    ['device state', (d) => (d.vm = 'none')],
    ['device state', (d) => (d.vm.clock = null)],
    ['serial lines', (d) => (d.serials = [])],
    ['serial lines', (d) => (d.serials[0].input = { $bytes: 'A'.repeat(8000) })],
    ['CPUID table', (d) => (d.table = Array(257).fill(d.table[0]))],
    ['CPUID table', (d) => (d.table[0].eax = -1)],
    ['ended vCPUs', (d) => (d.ended = [0])],
    ['ended vCPUs', (d) => (d.ended = [5])],
    ['MSR list', (d) => (d.msrs = [2 ** 33])],
    ['time-stamp counter', (d) => (d.tscKhz = 1e100)],
    ['interrupts', (d) => (d.interrupts = 1)],
  ];
  for (const [part, edit] of edits) {
    await refused(edited(state, edit), new RegExp(`^state: broken: ${part}$`));
  }
  const machine = await kvm().resume(
    bare,
    edited(state, () => {}),
  );
  await machine.close();
});

test(
  'other leaves, another engine’s state, and files that are no states are refused by name',
  limit,
  async () => {
    const state = await saved();
    await refused(
      state,
      /^state: its guest was shown another CPUID leaf 0x\w{8}, subleaf 0, than/,
      commonhv(),
    );
    await refused(
      new TextEncoder().encode('commonhv v86 2\n\0'.padEnd(100)),
      /^state: not a machine that was/,
    );
    await refused(new Uint8Array(0), /^state: not a machine/);
    await refused(7 as never, /^state: expected a Uint8Array or a path$/);
    await refused('/nowhere/state', /^state \/nowhere\/state: there is no such file$/);
    await refused(folder, /^state .*: expected a file$/);
    await refused('/dev/zero', /^state \/dev\/zero: expected a file$/);
    const fifo = join(folder, 'fifo');
    spawnSync('mkfifo', [fifo]);
    await refused(fifo, /: expected a file$/);
    const other = await kvm({ memory: 2 * memory }).start(bare, { kernel: spinner });
    try {
      await assert.rejects(
        other.restore(state),
        /^TypeError: state: of another machine: memory 2097152; this one/,
      );
      await other.pause(); // it goes on as it was
      await other.unpause();
    } finally {
      await other.close();
    }
  },
);

const running = async (file: string) => {
  const machine = await kvm().resume(bare, file);
  const cpu = await overSerial(machine.console, { pokeIntervalMs: 5 });
  return { machine, cpu };
};

async function probeFile(name: string): Promise<string> {
  const file = join(folder, name);
  const machine = await kvm({ memory: 2 ** 24 }).start(bare, { kernel: probeImage() });
  await overSerial(machine.console);
  await machine.saveFile(file);
  await machine.close();
  return file;
}

test('a file can be replaced or removed while machines run from it', limit, async () => {
  const file = await probeFile('replaced');
  const { machine, cpu } = await running(file);
  try {
    const other = join(folder, 'other');
    writeFileSync(other, 'something else');
    renameSync(other, file);
    assert.ok((await cpu.cpuid(0, 0)).eax > 0);
    await refused(file, /^state: not a machine/);
    rmSync(file);
    assert.ok((await cpu.cpuid(0, 0)).eax > 0);
    const second = await kvm().resume(bare, await machine.save());
    await second.close();
  } finally {
    await machine.close();
  }
});

test(
  'a file that is truncated while a machine runs from it ends that machine alone, by name',
  limit,
  async () => {
    const file = await probeFile('truncated');
    const copy = join(folder, 'copy');
    copyFileSync(file, copy);
    chmodSync(copy, 0o600);
    const machine = await kvm().resume(bare, copy);
    truncateSync(copy, 8192);
    await assert.rejects(machine.save());
    const late = setTimeout(() => void machine.close(), scaled(20_000));
    const writer = machine.console.writable.getWriter();
    const asking = setInterval(() => writer.write(new TextEncoder().encode('c 0 0\n')).catch(() => {}), 100);
    const end = await machine.ended;
    clearInterval(asking);
    clearTimeout(late);
    assert.equal(end.reason, 'failed', JSON.stringify(end));
    assert.equal(end.detail, `the saved state ${copy} was truncated while the machine ran from it`);
    const { machine: whole } = await running(file);
    await whole.close();
  },
);

test('a process that is killed while it saves leaves no file of that name', limit, async () => {
  const program = fileURLToPath(new URL('./support/kvm-saver.js', import.meta.url));
  let killed = 0;
  for (let i = 0; i < 8; i++) {
    const file = join(folder, `killed-${i}`);
    const child = spawn(process.execPath, [program, file], { stdio: ['ignore', 'pipe', 'inherit'] });
    const exited = once(child, 'exit'); // it may end before it is killed
    await once(child.stdout, 'data'); // it begins to save
    await new Promise((resolve) => setTimeout(resolve, i * 20));
    child.kill('SIGKILL');
    await exited;
    const names = readdirSync(folder).filter((name) => name.startsWith(`killed-${i}`));
    if (names.includes(`killed-${i}`)) {
      const machine = await kvm().resume(bare, file); // it was faster: then the state is whole
      await machine.close();
    } else killed++;
    for (const name of names.filter((each) => each.endsWith('.part'))) {
      await refused(join(folder, name), /^state: not a machine/);
    }
  }
  assert.ok(killed > 0);
});

/** A folder on a disk of 1 MiB, for a command that gets its path as $DIR; needs root or user namespaces. */
const onSmallDisk = (command: readonly string[]) =>
  spawnSync(
    'unshare',
    ['-rm', 'sh', '-c', 'mount -t tmpfs -o size=1m none "$DIR" && exec "$@"', 'sh', ...command],
    { encoding: 'utf8', timeout: scaled(30_000), env: { ...process.env, DIR: folder } },
  );
const canMount = onSmallDisk(['true']).status === 0;
const noDisk = skipUnless('mount', canMount, 'unshare cannot mount a small file system here');

test('a full disk is one line, leaves nothing, and the machine runs on', {
  skip: skip || noDisk,
  timeout: scaled(60_000),
}, () => {
  const program = fileURLToPath(new URL('./support/kvm-saver.js', import.meta.url));
  const { status, stdout, stderr } = onSmallDisk([process.execPath, program, join(folder, 'full')]);
  assert.equal(stderr, `MachineError: state ${join(folder, 'full')}: cannot be written: the disk is full\n`);
  assert.equal(status, 3);
  assert.match(stdout, /^saving\nfiles: 0\nruns: true\n$/);
});

test('saves and resumes leave nothing behind', { skip, timeout: scaled(300_000) }, async (t) => {
  const file = join(folder, 'again');
  writeFileSync(file, await saved());
  const first = await kvm().resume(bare, file);
  rmSync(file);
  await first.saveFile(file);
  await first.close();
  const again = join(folder, 'again-and-again');
  const once = async (): Promise<void> => {
    const machine = await kvm().resume(bare, file);
    await machine.saveFile(again);
    await machine.restore(again);
    await machine.close();
  };
  for (let i = 0; i < 20; i++) await once();
  const before = leftovers();
  const times = repetitions(1000, 50);
  for (let i = 0; i < times; i++) await once();
  t.diagnostic(`${times} saves and resumes`);
  assert.deepEqual(leftovers(), before);
  assert.deepEqual(
    readdirSync(folder).filter((name) => name.startsWith('again')),
    ['again', 'again-and-again'],
  );
  assert.equal(statSync(again).mode & 0o777, 0o400);
  assert.ok(statSync(again).blocks * 512 < statSync(again).size / 4, 'it is sparse');
  assert.ok(readFileSync(again).length > memory);
});
