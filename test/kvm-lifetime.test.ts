/** Nothing outlives a machine on KVM, and no machine keeps its process from ending. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { kvm } from 'commonhv/engines/kvm';
import { kernel, SPIN, send } from './support/guests.ts';
import { skip } from './support/kvm-availability.ts';
import { closeSoon } from './support/kvm-closing.ts';
import { url } from './support/kvm-layers.ts';
import { repetitions, scaled } from './support/time.ts';

const spinner = kernel([...send('x'), ...SPIN]);
const engine = kvm({ memory: 2 ** 21 });

async function spinning(vcpus = 1) {
  const machine = await kvm({ memory: 2 ** 21, vcpus }).start((host) => host, { kernel: spinner });
  await Promise.all(machine.consoles.map((console) => console.readable.getReader().read()));
  return machine;
}

test('a guest that spins for ever is closed within 100 ms, one vCPU or four', { skip }, async () => {
  await closeSoon([1, 1, 1, 1, 1, 1, 1, 1, 4, 4].map((vcpus) => () => spinning(vcpus)));
});

test('a layer that never comes back is ended by force', { skip, timeout: scaled(20_000) }, async () => {
  const guest = kernel([...send('x'), 0x0f, 0x32]); // rdmsr of whatever ECX holds: index 0, which KVM knows, is no trap
  const trap = kernel([...send('x'), 0xb9, 0, 0, 0xad, 0xde, 0x0f, 0x32]); // mov ecx, dead0000h; rdmsr
  for (const image of [trap, guest]) {
    const machine = await engine.start({ module: url, export: 'stuck' }, { kernel: image });
    await machine.console.readable.getReader().read();
    await machine.close();
  }
});

interface Left {
  readonly descriptors: readonly string[];
  readonly threads: number;
  readonly vcpuPages: number;
}
function left(): Left {
  const links = readdirSync('/proc/self/fd').map((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`);
    } catch {
      return ''; // the folder's own descriptor is gone again
    }
  });
  return {
    descriptors: links.filter((link) => link.includes('kvm')),
    threads: readdirSync('/proc/self/task').length,
    vcpuPages: readFileSync('/proc/self/maps', 'utf8').split('kvm-vcpu').length - 1,
  };
}
const mappings = (): number => readFileSync('/proc/self/maps', 'utf8').split('\n').length;

test('machines made and closed one after another leave nothing behind', {
  skip,
  timeout: scaled(120_000),
}, async (t) => {
  const machines = repetitions(1000, 50);
  const once = async (): Promise<void> => {
    const machine = await engine.start({ module: url, export: 'random' }, { kernel: spinner });
    await machine.close();
  };
  for (let i = 0; i < 50; i++) await once();
  const before = { ...left(), descriptorCount: readdirSync('/proc/self/fd').length };
  const mapped = mappings();
  for (let i = 0; i < machines; i++) await once();
  t.diagnostic(`${machines} machines`);
  assert.deepEqual({ ...left(), descriptorCount: readdirSync('/proc/self/fd').length }, before);
  assert.deepEqual(before.descriptors, []);
  assert.equal(before.vcpuPages, 0);
  // The heaps of two threads come and go; a machine has five mappings of its own.
  assert.ok(mappings() - mapped < 200, `${mappings() - mapped} mappings more`);
});

async function spinnerProcess(way: string, signal?: NodeJS.Signals) {
  const program = fileURLToPath(new URL('./support/kvm-spinner.js', import.meta.url));
  const child = spawn(process.execPath, [program, way], { stdio: ['ignore', 'pipe', 'pipe'] });
  const stderr: Buffer[] = [];
  child.stderr.on('data', (chunk: Buffer) => stderr.push(chunk));
  const exited = once(child, 'exit') as Promise<[number | null, NodeJS.Signals | null]>;
  const late = setTimeout(() => child.kill('SIGKILL'), scaled(15_000));
  let said = performance.now();
  child.stdout.once('data', () => {
    said = performance.now();
    if (signal) child.kill(signal);
  });
  const [code, by] = await exited;
  clearTimeout(late);
  return { code, by, stderr: Buffer.concat(stderr).toString(), took: performance.now() - said };
}

const ways: [
  string,
  string,
  NodeJS.Signals | undefined,
  { code: number | null; by: NodeJS.Signals | null },
  RegExp,
][] = [
  ['process.exit', 'exit', undefined, { code: 5, by: null }, /^$/],
  ['an uncaught throw', 'throw', undefined, { code: 1, by: null }, /Error: on purpose/],
  ['Ctrl-C', 'wait', 'SIGINT', { code: null, by: 'SIGINT' }, /^$/],
  ['SIGTERM', 'wait', 'SIGTERM', { code: null, by: 'SIGTERM' }, /^$/],
  ['close and no more', 'close', undefined, { code: 0, by: null }, /^$/],
  ['process.exit around a worker that runs the engine', 'nested', undefined, { code: 5, by: null }, /^$/],
];
for (const [name, way, signal, expected, stderr] of ways) {
  test(`a process whose guest spins ends by ${name}`, { skip, timeout: scaled(20_000) }, async () => {
    const result = await spinnerProcess(way, signal);
    assert.deepEqual({ code: result.code, by: result.by }, expected, result.stderr);
    assert.match(result.stderr, stderr);
    assert.ok(result.took < 1500, `${result.took} ms`);
  });
}
