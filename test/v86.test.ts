/** The v86 engine: what its guest sees is what the layer says, and a machine has one clear end. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { test } from 'node:test';
import { type Layer, MachineError, type SyncCpu } from 'commonhv';
import { v86 } from 'commonhv/engines/v86';
import { overSerial, probeImage } from 'commonhv/probe';
import { HALT, kernel, RECEIVE_AL, SEND_AL, SPIN, send, u32, whole } from './support/guests.ts';
import { plainV86 } from './support/plain-v86.ts';
import { scaled } from './support/time.ts';

const MiB = 2 ** 20;
const engine = v86({ memory: 4 * MiB });
const through: Layer = (host) => host;
const limit = { timeout: scaled(60_000) };

test(
  'CPUID, RDMSR and WRMSR of the guest are the layer’s, what it passes down is v86’s own',
  limit,
  async () => {
    const written: [number, bigint][] = [];
    const layer: Layer = (host) => ({
      cpuid(leaf, subleaf) {
        if (leaf === 0x4f00_0001) return { eax: subleaf, ebx: 0xffff_ffff, ecx: 0x8000_0000, edx: 7 };
        return host.cpuid(leaf, subleaf);
      },
      rdmsr(index) {
        if (index === 0x4000_00a0) return 0xfedc_ba98_7654_3210n;
        if (index === 1) return '#GP';
        return index === 2 ? '#UD' : host.rdmsr(index);
      },
      wrmsr(index, value) {
        written.push([index, value]);
        if (index === 1) return '#GP';
        return index === 2 ? '#UD' : host.wrmsr(index, value);
      },
    });
    const host = await engine.hostCpu();
    const machine = await engine.start(layer, { kernel: probeImage() });
    const cpu = await overSerial(machine.console);
    const regs = { eax: 0xffff_fffe, ebx: 0xffff_ffff, ecx: 0x8000_0000, edx: 7 };
    assert.deepEqual(await cpu.cpuid(0x4f00_0001, 0xffff_fffe), regs);
    for (const leaf of [0, 1, 2, 0x4000_0000, 0x8000_0000, 0xffff_ffff]) {
      assert.deepEqual(await cpu.cpuid(leaf, 3), await host.cpuid(leaf, 3));
    }
    assert.equal(await cpu.rdmsr(0x4000_00a0), 0xfedc_ba98_7654_3210n);
    assert.deepEqual([await cpu.rdmsr(1), await cpu.rdmsr(2)], ['#GP', '#UD']);
    assert.equal(await cpu.rdmsr(0x4b56_4d00), 0n, 'v86 answers 0 where it knows nothing');
    assert.deepEqual([await cpu.wrmsr(1, 5n), await cpu.wrmsr(2, 6n)], ['#GP', '#UD']);
    // SYSENTER_EIP is v86's own, and kept: what passes down really arrives.
    assert.equal(await cpu.wrmsr(0x176, 0x1234_5678n), undefined);
    assert.equal(await cpu.rdmsr(0x176), 0x1234_5678n);
    assert.deepEqual(written, [
      [1, 5n],
      [2, 6n],
      [0x176, 0x1234_5678n],
    ]);
    await cpu.quit();
    assert.equal((await machine.ended).reason, 'quit');
  },
);

test('what is below shows no machine’s registers and never faults', async () => {
  const host = (await engine.hostCpu()) as SyncCpu;
  const { ebx, ecx, edx } = host.cpuid(0x4000_0000, 0);
  assert.deepEqual([ebx, ecx, edx], [0x6177_4d56, 0x4d56_6572, 0x6572_6177]); // VMwareVMware
  assert.equal(host.rdmsr(0xffff_ffff), 0n);
  assert.equal(host.wrmsr(0xffff_ffff, 1n), undefined);
});

const endings: [string, number[], { reason: string; detail?: RegExp }][] = [
  [
    'a guest that halts with interrupts off',
    HALT,
    { reason: 'halt', detail: /interrupts off at 0x001000[0-9a-f]{2}$/ },
  ],
  ['an exception without a handler', [0x0f, 0x0b], { reason: 'shutdown', detail: /could not be delivered/ }],
  [
    'a write to the power port',
    [0x66, 0xba, 4, 6, 0x66, 0xb8, 0, 0x20, 0x66, 0xef, ...SPIN],
    { reason: 'quit', detail: /^the guest powered off$/ },
  ],
  [
    'a reset by the keyboard controller',
    [0xb0, 0xfe, 0xe6, 0x64, ...SPIN],
    { reason: 'quit', detail: /reset/ },
  ],
];
// mov dx, 0cf8h; then mov eax, value; out dx, eax twice: byte 1 would be 2, then 6, which is a reset at CF9H
const PCI_WRITES = [0x66, 0xba, 0xf8, 0x0c, 0xb8, ...u32(0x8000_0200), 0xef, 0xb8, ...u32(0x8000_0600), 0xef];
test(
  '32-bit writes to PCI’s address register are no writes to the reset control beside it',
  limit,
  async () => {
    const machine = await engine.start(through, { kernel: kernel([...PCI_WRITES, ...send('k'), ...HALT]) });
    assert.equal(await whole(machine.console.readable), 'k');
    assert.equal((await machine.ended).reason, 'halt');
    await machine.close();
  },
);

for (const [name, code, { reason, detail }] of endings) {
  test(`${name} is the end: ${reason}`, limit, async () => {
    const machine = await engine.start(through, { kernel: kernel([...send('a'), ...code]) });
    assert.equal(await whole(machine.console.readable), 'a');
    const end = await machine.ended;
    assert.equal(end.reason, reason);
    if (detail !== undefined) assert.match(end.detail!, detail);
    await machine.close();
    assert.equal((await machine.ended).reason, reason);
    await assert.rejects(async () => machine.save!(), { name: 'MachineError', message: /has ended/ });
    await assert.rejects(machine.console.writable.getWriter().write(new Uint8Array(1)), MachineError);
  });
}

test('a guest that spins is closed in bounded time, and more than once', limit, async () => {
  const machine = await engine.start(through, { kernel: kernel(SPIN) });
  const start = performance.now();
  await Promise.all([machine.close(), machine.close()]);
  await machine.close();
  assert.ok(performance.now() - start < 1000);
  assert.equal((await machine.ended).reason, 'closed');
});

test(
  'a layer that throws ends its machine with what it threw; one that cannot be made starts none',
  limit,
  async () => {
    const cause = new Error('no words left');
    const throwing: Layer = (host) => ({
      ...host,
      rdmsr() {
        throw cause;
      },
    });
    const machine = await engine.start(throwing, { kernel: kernel([0x0f, 0x32, ...SPIN]) });
    const end = await machine.ended;
    assert.deepEqual([end.reason, end.cause], ['failed', cause]);
    assert.match(end.detail!, /^no words left, at 0x[0-9a-f]{8}$/);
    const refused = () => {
      throw new RangeError('rng.msr: taken');
    };
    await assert.rejects(engine.start(refused, { kernel: kernel(SPIN) }), { message: 'rng.msr: taken' });
  },
);

test('a bad image, memory size or module is refused before there is a machine', async () => {
  let made = 0;
  const counting: Layer = (host) => {
    made++;
    return host;
  };
  await assert.rejects(engine.start(counting, { kernel: new Uint8Array(10) }), TypeError);
  for (const memory of [0, 4.5, MiB - 1, 2048 * MiB]) assert.throws(() => v86({ memory }), RangeError);
  const wasm = new Uint8Array(readFileSync(createRequire(import.meta.url).resolve('v86/build/v86.wasm')));
  const changed = (from: string, to: string) => {
    const copy = wasm.slice();
    copy.set(new TextEncoder().encode(to), Buffer.from(copy.buffer).indexOf(from));
    return copy;
  };
  const modules: [Uint8Array | string, RegExp][] = [
    [new Uint8Array(0), /is not as expected: it is no WebAssembly 1\.0 module \(made for v86 0\.5\.462\)$/],
    [wasm.subarray(0, 200_000), /it is truncated/],
    [changed('instr_0F32', 'instr_0F99'), /it does not export a function instr_0F32/],
    [changed('io_port_read32', 'io_port_look32'), /it does not import io_port_read32/],
    [changed('trigger_gp_jit', 'trigger_gp_jut'), /it does not export trigger_gp_jit/],
    ['http://127.0.0.1:1/v86.wasm', /cannot fetch http:\/\/127\.0\.0\.1:1\/v86\.wasm: /],
  ];
  for (const [module, message] of modules) {
    await assert.rejects(
      v86({ wasm: module, memory: 2 * MiB }).start(counting, { kernel: kernel(HALT) }),
      (error: Error) => {
        assert.ok(error instanceof MachineError);
        assert.match(error.message, message);
        assert.doesNotMatch(error.message, /\n/);
        return true;
      },
    );
  }
  assert.equal(made, 0);
  const machine = await v86({ wasm, memory: 2 * MiB }).start(counting, { kernel: kernel(HALT) });
  assert.equal((await machine.ended).reason, 'halt');
});

test(
  'what is written to the console arrives whole and in order, and what the guest sends comes out so',
  limit,
  async () => {
    const echo = kernel([...RECEIVE_AL, ...SEND_AL, 0x3c, 0x04, 0x75, 0xeb, ...HALT]); // until a 4 has come
    const machine = await engine.start(through, { kernel: echo });
    const text = Array.from({ length: 6000 }, (_, i) => String.fromCharCode(32 + ((i * 7919) % 90))).join('');
    const writer = machine.console.writable.getWriter();
    const out = whole(machine.console.readable);
    for (let at = 0, size = 1; at < text.length; at += size, size = (size * 3) % 1009) {
      await writer.write(new TextEncoder().encode(text.slice(at, at + size)));
    }
    await writer.write(Uint8Array.of(4));
    assert.equal(await out, `${text}\u0004`);
    assert.equal((await machine.ended).reason, 'halt');
  },
);

test('a guest that floods its console waits for the reader, and loses nothing', limit, async () => {
  // Sends the low byte of a counter, 3,000,000 times.
  const flood = [
    0x31,
    0xc9,
    0x88,
    0xc8,
    ...SEND_AL,
    0x41,
    0x81,
    0xf9,
    ...u32(3_000_000),
    0x75,
    0xf0,
    ...HALT,
  ];
  const machine = await engine.start(through, { kernel: kernel(flood) });
  await new Promise((resolve) => setTimeout(resolve, 2500));
  let ended = false;
  machine.ended.then(() => {
    ended = true;
  });
  const reader = machine.console.readable.getReader();
  let length = 0;
  let sum = 0;
  for (let next = await reader.read(); !next.done; next = await reader.read()) {
    if (length === 0) assert.equal(ended, false, 'it waits');
    for (const byte of next.value) sum += byte === (length++ & 0xff) ? 0 : 1;
  }
  assert.deepEqual([length, sum], [3_000_000, 0]);
});

test('a console that nobody wants any more does not hold the guest up', limit, async () => {
  const flood = [0x31, 0xc9, ...SEND_AL, 0x41, 0x81, 0xf9, ...u32(2_000_000), 0x75, 0xf2, ...HALT];
  const machine = await engine.start(through, { kernel: kernel(flood) });
  await machine.console.readable.cancel();
  assert.equal((await machine.ended).reason, 'halt');
});

test('a paused guest does nothing, and goes on where it was', limit, async () => {
  const counting = kernel([0xff, 0x05, ...u32(0x20_0000), ...RECEIVE_AL, ...SEND_AL, 0xeb, 0xe7]);
  const machine = await engine.start(through, { kernel: counting });
  const writer = machine.console.writable.getWriter();
  const reader = machine.console.readable.getReader();
  await machine.pause!();
  const written = writer.write(new TextEncoder().encode('x'));
  const early = await Promise.race([
    reader.read(),
    new Promise((resolve) => setTimeout(resolve, 100, 'nothing')),
  ]);
  assert.equal(early, 'nothing');
  const read = reader.read();
  await machine.unpause!();
  await written;
  // The first read was still pending when the second was made.
  await machine.close();
  await read;
});

test('wasm_fn: underLayer(layer) puts people’s own v86 under a layer', limit, async () => {
  let restored = 0;
  const seen: number[] = [];
  const layer: Layer = (host) => ({
    ...host,
    cpuid(leaf, subleaf) {
      seen.push(leaf);
      return host.cpuid(leaf, subleaf);
    },
    restored() {
      restored++;
    },
  });
  // A boot sector's worth of BIOS: CPUID, then halt.
  const bios = new Uint8Array(0x1_0000).fill(0x90);
  bios.set([0x66, 0xb8, ...u32(0x4f00_0000), 0x0f, 0xa2, ...HALT], 0xfff0 - 0x10);
  bios.set([0xeb, 0xee], 0xfff0); // jmp back by 10h
  const emulator = await plainV86(layer, bios);
  const state = await emulator.save_state();
  assert.equal(restored, 0);
  await emulator.restore_state(state);
  assert.equal(restored, 1);
  const halted = new Promise<void>((resolve) =>
    emulator.add_listener('cpu-event-halt' as never, resolve as never),
  );
  emulator.run();
  await halted;
  await emulator.destroy();
  assert.deepEqual(seen, [0x4f00_0000]);
});
