/** The generation page and the acknowledgement on v86, on every route: start, resume as a new machine, in place, other people's v86. */
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import type { GuestMemory, Layer, SyncCpu } from 'commonhv';
import { verify } from 'commonhv/conformance';
import { v86 } from 'commonhv/engines/v86';
import { commonhv, fromConfig, type LayerEvent, systemSource } from 'commonhv/hypervisor';
import { overSerial, probeImage } from 'commonhv/probe';
import { HALT, u32 } from './support/guests.ts';
import { plainV86 } from './support/plain-v86.ts';
import { scaled } from './support/time.ts';

const [RNG, GENERATION, PAGE] = [0x4000_00a0, 0x4000_00a1, 0x4000_00a2];
const MiB = 2 ** 20;
const engine = v86({ memory: 4 * MiB });
const limit = { timeout: scaled(60_000) };
const quick = { pokeIntervalMs: 50 };

/** CommonHV, with the engine's way to guest memory of each machine, and the page as it is when `restored` returns. */
function watched(inner: Layer, address: number) {
  const memories: GuestMemory[] = [];
  const atRestore: bigint[] = [];
  const layer: Layer = (host) => {
    const cpu = inner(host);
    memories.push(host.memory!);
    return {
      ...cpu,
      restored(saved) {
        cpu.restored?.(saved);
        atRestore.push(host.memory!.load(address, 0));
      },
    };
  };
  return { layer, memories, atRestore };
}
const halves = (value: bigint) => [value & 0xffff_ffffn, value >> 32n];
function differ(one: bigint, other: bigint): void {
  for (const i of [0, 1]) assert.notEqual(halves(one)[i], halves(other)[i]);
  assert.ok(halves(one).every((half) => half !== 0n));
}

test(
  'a page holds the generation from the accepted write on, and after each restore before the first instruction',
  limit,
  async () => {
    const at = 0x20_0000;
    const { layer, memories, atRestore } = watched(commonhv({ generation: {} }), at);
    const machine = await engine.start(layer, { kernel: probeImage() });
    const cpu = await overSerial(machine.console);
    assert.deepEqual(await cpu.cpuid(0x4f00_0002, 0), { eax: 0x1c, ebx: 3, ecx: 0, edx: 0 });
    assert.deepEqual(await cpu.cpuid(0x4f00_0003, 0), { eax: 0, ebx: 0, ecx: GENERATION, edx: PAGE });
    assert.equal(await cpu.rdmsr(PAGE), 0n, 'after power-on');
    const [memory] = memories as [GuestMemory];
    memory.store(at, 8, 0x1122_3344_5566_7788n);
    memory.store(at, 0, 1n);
    const first = (await cpu.rdmsr(GENERATION)) as bigint;
    assert.equal(await cpu.wrmsr(PAGE, BigInt(at) | 1n), undefined);
    assert.deepEqual([memory.load(at, 0), memory.load(at, 8)], [first, 0x1122_3344_5566_7788n]);
    assert.equal(await cpu.rdmsr(PAGE), BigInt(at) | 1n);

    const state = await machine.save();
    const copies = await Promise.all([engine.resume(layer, state), engine.resume(layer, state)]);
    const seen = [first];
    for (const [i, copy] of copies.entries()) {
      const its = await overSerial(copy.console, quick);
      const generation = (await its.rdmsr(GENERATION)) as bigint;
      assert.equal(await its.rdmsr(PAGE), BigInt(at) | 1n);
      const { load } = { load: (offset: 0 | 8) => memories[i + 1]!.load(at, offset) };
      assert.deepEqual([load(0), load(8)], [generation, 0x1122_3344_5566_7788n]);
      assert.ok(atRestore.includes(generation));
      differ(generation, first);
      seen.push(generation);
      await copy.close();
    }
    await machine.restore(state);
    const again = (await cpu.rdmsr(GENERATION)) as bigint;
    assert.deepEqual([memory.load(at, 0), atRestore.at(-1)], [again, again]);
    differ(again, first);
    assert.equal(new Set([...seen, again]).size, 4);

    assert.equal(await cpu.wrmsr(PAGE, 0n), undefined);
    memory.store(at, 0, 5n);
    await machine.restore(await machine.save());
    assert.equal(memory.load(at, 0), 5n, 'disabled: nothing is stored');
    await machine.close();
  },
);

test(
  '#GP, and nothing changes: reserved bits, no enable, no RAM, beyond the memory, above the address width',
  limit,
  async () => {
    const { layer, memories } = watched(commonhv({ generation: {} }), 0x1000);
    const machine = await engine.start(layer, { kernel: probeImage() });
    const cpu = await overSerial(machine.console);
    assert.equal(await cpu.wrmsr(PAGE, 0x20_0001n), undefined);
    const refused = [
      0x20_0003n, // bit 1
      0x20_0801n, // bit 11
      0x20_0000n, // an address without enable
      0xa_0001n, // video memory
      0xf_f001n, // firmware
      0x40_0001n, // the first page beyond 4 MiB
      0xffff_f001n,
      0x1_0000_0000n | 1n, // above 32 bits
      0xffff_ffff_ffff_f001n,
    ];
    for (const value of refused) assert.equal(await cpu.wrmsr(PAGE, value), '#GP', value.toString(16));
    assert.equal(await cpu.rdmsr(PAGE), 0x20_0001n);
    for (const value of [0x3f_f001n, 0x9_f001n, 1n]) {
      assert.equal(await cpu.wrmsr(PAGE, value), undefined, value.toString(16));
      assert.equal(memories[0]!.load(Number(value - 1n), 0), await cpu.rdmsr(GENERATION));
    }
    await machine.close();
  },
);

test(
  'the current value acknowledges once; any other raises #GP; after a restore it is acknowledged anew',
  limit,
  async () => {
    const events: LayerEvent[] = [];
    const layer = fromConfig({ generation: {} }, (event) => events.push(event));
    const machine = await engine.start(layer, { kernel: probeImage() });
    const cpu = await overSerial(machine.console);
    const value = (await cpu.rdmsr(GENERATION)) as bigint;
    assert.equal(await cpu.wrmsr(GENERATION, value ^ 1n), '#GP');
    assert.equal(events.length, 0);
    for (let i = 0; i < 2; i++) assert.equal(await cpu.wrmsr(GENERATION, value), undefined);
    assert.deepEqual(
      events.map(({ kind }) => kind),
      ['acknowledged'],
    );
    await machine.restore(await machine.save());
    assert.equal(await cpu.wrmsr(GENERATION, value), '#GP', 'the saved value is not the current one');
    assert.equal(await cpu.wrmsr(GENERATION, (await cpu.rdmsr(GENERATION)) as bigint), undefined);
    const last = events.at(-1)!;
    assert.equal(events.length, 2);
    assert.ok(last.kind === 'acknowledged' && last.milliseconds > 0 && last.milliseconds < 60_000);
    assert.equal(await cpu.rdmsr(GENERATION), await cpu.rdmsr(GENERATION), 'a write never changes it');
    await machine.close();
  },
);

test(
  'a state is refused, in one line: other leaves, no source, no CommonHV, an older format; a Buffer is not',
  limit,
  async () => {
    const full = commonhv({ rng: { source: systemSource() }, generation: {} });
    const machine = await engine.start(full, { kernel: probeImage() });
    await overSerial(machine.console);
    const state = await machine.save();
    await machine.close();
    const broken = {
      ...systemSource(),
      name: 'stick',
      fill: () => {
        throw new Error('unplugged');
      },
    };
    const refusals: readonly (readonly [Layer, RegExp])[] = [
      [
        commonhv({ rng: { source: systemSource() } }),
        /^state: saved with other CommonHV leaves: 4F000002H\.0 1d 3 0 0, here .* 1 3 0 0$/,
      ],
      [
        commonhv({ rng: { source: broken }, generation: {} }),
        /^state: saved with other .*rng\.source: stick does not work: it threw Error: unplugged\)$/,
      ],
      [commonhv({ generation: { page: false } }), /^state: saved with other CommonHV leaves/],
    ];
    for (const [layer, message] of refusals)
      await assert.rejects(engine.resume(layer, state), { name: 'MachineError', code: 'refused', message });
    const plain = await engine.start((host: SyncCpu) => host, { kernel: probeImage() });
    const without = await plain.save();
    await plain.close();
    await assert.rejects(engine.resume(full, without), {
      code: 'refused',
      message: /not saved under a CommonHV layer/,
    });
    const old = state.slice();
    old[13] = '2'.charCodeAt(0);
    await assert.rejects(engine.resume(full, old), {
      code: 'refused',
      message: /^state: .*format 2, not 3[^\n]*$/,
    });

    mkdirSync('.cache', { recursive: true });
    writeFileSync('.cache/v86-page.state', state);
    const copy = await engine.resume(full, readFileSync('.cache/v86-page.state'));
    assert.equal(typeof (await (await overSerial(copy.console, quick)).rdmsr(RNG)), 'bigint');
    await copy.close();
  },
);

test(
  'other people’s v86: the setting travels in v86’s own state, and other leaves are refused',
  limit,
  async () => {
    const at = 0x10_0000;
    const { layer, memories, atRestore } = watched(commonhv({ generation: {} }), at);
    // A boot sector's worth of BIOS: the generation acknowledged, the page at 1 MiB enabled, then halt.
    const bios = new Uint8Array(0x1_0000).fill(0x90);
    const code = [
      ...[0x66, 0xb9, ...u32(GENERATION), 0x0f, 0x32, 0x0f, 0x30], // mov ecx; rdmsr; wrmsr
      ...[0x66, 0xb9, ...u32(PAGE), 0x66, 0xb8, ...u32(at | 1), 0x66, 0x31, 0xd2, 0x0f, 0x30], // mov ecx; mov eax; xor edx; wrmsr
      ...HALT,
    ];
    bios.set(code, 0xfff0 - 0x60);
    bios.set([0xeb, -0x62 & 0xff], 0xfff0); // jmp back
    const made: { destroy(): Promise<void> }[] = [];
    const emulatorOf = async (over: Layer) => {
      const emulator = await plainV86(over, bios);
      made.push(emulator);
      return emulator;
    };
    const emulator = await emulatorOf(layer);
    const halted = new Promise<void>((resolve) =>
      emulator.add_listener('cpu-event-halt' as never, resolve as never),
    );
    emulator.run();
    await halted;
    await emulator.stop();
    const first = memories[0]!.load(at, 0);
    assert.notEqual(first, 0n);
    const state = await emulator.save_state();
    await emulator.restore_state(state);
    differ(memories[0]!.load(at, 0), first);
    const copy = await emulatorOf(layer);
    await copy.restore_state(state);
    assert.equal(atRestore.length, 2);
    assert.equal(memories[1]!.load(at, 0), atRestore[1]);
    differ(atRestore[1]!, first);
    assert.notEqual(atRestore[0], atRestore[1]);
    const other = await emulatorOf(commonhv({ generation: { ack: false } }));
    await assert.rejects(async () => other.restore_state(state), {
      code: 'refused',
      message: /other CommonHV leaves/,
    });
    // Saved under no layer: also by its name, and whatever the guest has done meanwhile.
    const plain = await emulatorOf((host) => host);
    const under = await emulatorOf(layer);
    await assert.rejects(async () => under.restore_state(await plain.save_state()), {
      code: 'refused',
      message: /^state: it was not saved under a CommonHV layer/,
    });
    // Under a layer, before the guest has asked for anything.
    const early = await emulatorOf(layer);
    await (await emulatorOf(layer)).restore_state(await early.save_state());
    for (const each of made) await each.destroy();
  },
);

/** CommonHV on an engine that loses the stores into the page while a machine is restored, on the routes that `loses` names. */
function losing(loses: (resumed: boolean) => boolean): Layer {
  return (host) => {
    const memory = host.memory!;
    let lost = false;
    const store: GuestMemory['store'] = (...given) => {
      if (!lost) memory.store(...given);
    };
    const load: GuestMemory['load'] = (...given) => memory.load(...given);
    const isRam = (address: number): boolean => memory.isRam(address);
    const cpu = commonhv({ generation: {} })({ ...host, memory: { isRam, load, store } });
    let resumed = host.resumed === true;
    return {
      ...cpu,
      restored(saved) {
        lost = loses(resumed);
        resumed = false;
        cpu.restored?.(saved);
        lost = false;
      },
    };
  };
}

for (const [title, loses, broken] of [
  ['passes an engine that stores the page', () => false, []],
  [
    'fails an engine that does not store the page in a resumed machine',
    (resumed) => resumed,
    ['page.renewed'],
  ],
  [
    'fails an engine that does not store the page at a restore in place',
    (resumed) => !resumed,
    ['page.renewed'],
  ],
] as readonly [string, (resumed: boolean) => boolean, readonly string[]][]) {
  test(`verify ${title}`, limit, async () => {
    const layer = losing(loses);
    const machine = await engine.start(layer, { kernel: probeImage() });
    const copies = [machine];
    let state = new Uint8Array();
    const report = await verify(await overSerial(machine.console), {
      memory: machine.memory!,
      async save() {
        state = new Uint8Array(await machine.save());
      },
      restore: () => machine.restore(state),
      async resume() {
        const copy = await engine.resume!(layer, state);
        copies.push(copy);
        return { cpu: await overSerial(copy.console, quick), memory: copy.memory! };
      },
    });
    await Promise.all(copies.map((copy) => copy.close()));
    const failed = report.rules.filter(({ outcome }) => outcome === 'failed').map(({ id }) => id);
    assert.deepEqual(failed, broken);
    assert.equal(report.rules.find(({ id }) => id === 'page.holds')!.outcome, 'passed');
  });
}

test(
  'the memory of a machine: one page of RAM at a time, its own bytes, and nothing once it has ended',
  limit,
  async () => {
    const machine = await engine.start(commonhv({ generation: {} }), { kernel: probeImage() });
    const { memory } = machine;
    memory!.write(0x20_0ffe, Uint8Array.of(1, 2));
    const bytes = memory!.read(0x20_0ffe, 2);
    bytes[0] = 9;
    assert.deepEqual([...memory!.read(0x20_0ffd, 3)], [0, 1, 2], 'a copy was given');
    for (const [address, length] of [
      [0xa_0000, 1],
      [0xf_ffff, 1],
      [4 * MiB, 1],
      [-1, 1],
      [0.5, 1],
      [Number.NaN, 1],
      [0x20_0fff, 2],
      [0x20_0000, 4097],
      [0x20_0000, -1],
      [0x20_0000, 2 ** 33],
    ] as const)
      assert.throws(() => memory!.read(address, length), RangeError, `${length} from ${address}`);
    assert.throws(() => memory!.write(0x20_0fff, new Uint8Array(2)), RangeError);
    await machine.close();
    assert.throws(() => memory!.read(0x20_0000, 1), { name: 'MachineError', code: 'ended' });
  },
);
