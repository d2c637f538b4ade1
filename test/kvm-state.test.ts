/** Saved machines on KVM: resumed, copied and put back in place, nothing lost, the layer renewed before the guest runs. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import type { Cpu, Layer } from 'commonhv';
import { type KvmMachine, kvm } from 'commonhv/engines/kvm';
import { commonhv, systemSource } from 'commonhv/hypervisor';
import { overSerial, probeImage } from 'commonhv/probe';
import { CODE, kernel, RECEIVE_AL, SEND_AL, u32 } from './support/guests.ts';
import { skip } from './support/kvm-availability.ts';
import { placements, whole } from './support/kvm-layers.ts';
import { TICKER, Ticker } from './support/kvm-ticker.ts';
import { scaled } from './support/time.ts';

const memory = 4 * 2 ** 20;
const RNG = 0x4000_00a0;
const GENERATION = 0x4000_00a1;
const folder = mkdtempSync(join(tmpdir(), 'commonhv-state-'));
after(() => rmSync(folder, { recursive: true, force: true }));
const limit = { skip, timeout: scaled(60_000) };

/** `pokeIntervalMs`: the probe of a resumed machine waits for a line already, and sends its greeting when asked. */
const cpusOf = (machine: KvmMachine, pokeIntervalMs = 1000): Promise<Cpu[]> =>
  Promise.all(
    machine.consoles.map((console) => overSerial(console, { pokeIntervalMs, answerTimeout: scaled(5000) })),
  );
const RESUMED_MS = 5;

for (const vcpus of [1, 2]) {
  for (const [name, layer] of Object.entries(placements)) {
    test(
      `copies on ${vcpus} vCPUs under ${name} differ from the saved machine and from each other`,
      limit,
      async () => {
        const engine = kvm({ memory, vcpus });
        const machine = await engine.start(layer(), { kernel: probeImage() });
        const machines = [machine];
        try {
          const [cpu] = await cpusOf(machine);
          const before = await cpu!.rdmsr(GENERATION);
          const file = join(folder, `copies-${vcpus}-${name.at(-1)}`);
          await machine.saveFile(file);
          const bytes = await machine.save();
          assert.equal(await cpu!.rdmsr(GENERATION), before);
          const generations = new Set([before]);
          const values = new Set([await cpu!.rdmsr(RNG)]);
          for (const state of [bytes, file, new Uint8Array(readFileSync(file)), file]) {
            const copy = await kvm().resume(layer(), state);
            machines.push(copy);
            const cpus = await cpusOf(copy, RESUMED_MS);
            assert.equal(cpus.length, vcpus);
            const seen = await Promise.all(cpus.map((each) => each.rdmsr(GENERATION)));
            assert.equal(new Set(seen).size, 1, 'one generation for all vCPUs');
            generations.add(seen[0]!);
            for (const each of cpus) values.add(await each.rdmsr(RNG));
            await copy.close();
          }
          assert.equal(generations.size, 5);
          assert.equal(values.size, 1 + 4 * vcpus);
          for (const state of [bytes, file]) {
            await machine.restore(state);
            generations.add(await cpu!.rdmsr(GENERATION));
            values.add(await cpu!.rdmsr(RNG));
          }
          assert.equal(generations.size, 7);
          assert.equal(values.size, 3 + 4 * vcpus);
        } finally {
          await Promise.all(machines.map((each) => each.close()));
        }
      },
    );
  }
}

/** Counts the bytes that it receives, in memory, and sends the count after each. */
const COUNTER = CODE + 0x80;
const counter = kernel(
  [
    ...RECEIVE_AL,
    ...[0xfe, 0x05, ...u32(COUNTER)], // inc byte [counter]
    ...[0xa0, ...u32(COUNTER)], // mov al, [counter]
    ...SEND_AL,
    ...[0xeb, -(RECEIVE_AL.length + 11 + SEND_AL.length + 2) & 0xff], // jmp to the beginning
  ],
  { [COUNTER]: [0] },
);

test('memory and registers are those of the save: as a new machine, and in place', limit, async () => {
  const bare: Layer = (host) => host;
  const machine = await kvm({ memory }).start(bare, { kernel: counter });
  const machines = [machine];
  const talk = (target: KvmMachine) => {
    const [reader, writer] = [target.console.readable.getReader(), target.console.writable.getWriter()];
    return async (): Promise<number> => {
      await writer.write(Uint8Array.of(1));
      return (await reader.read()).value![0]!;
    };
  };
  try {
    const count = talk(machine);
    for (const expected of [1, 2, 3]) assert.equal(await count(), expected);
    const file = join(folder, 'counter');
    await machine.saveFile(file);
    const bytes = await machine.save();
    for (const expected of [4, 5]) assert.equal(await count(), expected);
    for (const state of [bytes, file]) {
      const copy = await kvm().resume(bare, state);
      machines.push(copy);
      const counted = talk(copy);
      for (const expected of [4, 5]) assert.equal(await counted(), expected);
      await machine.restore(state);
      for (const expected of [4, 5]) assert.equal(await count(), expected);
      // A resumed machine can be saved, and its copies go on from there.
      const second = await kvm().resume(bare, await copy.save());
      machines.push(second);
      assert.equal(await talk(second)(), 6);
    }
  } finally {
    await Promise.all(machines.map((each) => each.close()));
  }
});

test('a read of an MSR that is pending at a save completes once, and no output is lost', limit, async () => {
  let value = 0n;
  const counting: Layer = (host) => ({ ...host, rdmsr: () => ++value });
  // mov ecx, 400000a0h; 1: rdmsr; send al; jmp 1b
  const loop = [0xb9, ...u32(RNG), 0x0f, 0x32, ...SEND_AL, 0xeb, -(2 + SEND_AL.length + 2) & 0xff];
  const machine = await kvm({ memory }).start(counting, { kernel: kernel(loop) });
  try {
    const reader = machine.console.readable.getReader();
    let next = 1;
    for (let save = 0; save < 20; save++) {
      await machine.save();
      for (const target = next + 100; next < target; ) {
        for (const byte of (await reader.read()).value!) assert.equal(byte, next++ & 0xff);
      }
    }
  } finally {
    await machine.close();
  }
});

test(
  'a string instruction that is held by an unread line is completed by a save; no byte is lost',
  limit,
  async () => {
    const COUNT = 300_000;
    // mov dx, 3f8h; mov esi, 100000h; mov ecx, count; rep outsb; cli; hlt
    const flood = [
      ...[0x66, 0xba, 0xf8, 0x03, 0xbe, ...u32(0x10_0000), 0xb9, ...u32(COUNT), 0xf3, 0x6e, 0xfa, 0xf4],
    ];
    const machine = await kvm({ memory }).start((host) => host, { kernel: kernel(flood) });
    try {
      await new Promise((resolve) => setTimeout(resolve, 300)); // until the line is full
      const state = await machine.save();
      await machine.save();
      let length = 0;
      for await (const chunk of machine.console.readable) length += chunk.length;
      assert.equal(length, COUNT);
      const copy = await kvm().resume((host) => host, state);
      let rest = 0;
      for await (const chunk of copy.console.readable) rest += chunk.length;
      await copy.close();
      assert.ok(rest > 0 && rest < COUNT, `${rest} bytes`);
    } finally {
      await machine.close();
    }
  },
);

for (const vcpus of [1, 2]) {
  test(
    `interrupt controllers, timer and UART are saved: a guest that lives by interrupts, ${vcpus} vCPUs`,
    limit,
    async () => {
      const machine = await kvm({ memory: 16 * 2 ** 20, vcpus }).start((host) => host, TICKER);
      const machines = [machine];
      try {
        const guest = new Ticker(machine);
        await guest.until(/^hello, t/);
        await machine.pause();
        await new Promise((resolve) => setTimeout(resolve, 20)); // until its output has come
        const before = guest.text;
        const state = await machine.save();
        await machine.unpause();
        await guest.until('hello, ttt');
        const rest = 'hello, ttt'.slice(before.length);
        const copy = await kvm().resume((host) => host, state);
        machines.push(copy);
        const resumed = new Ticker(copy);
        await resumed.until(rest);
        await resumed.send('x');
        await resumed.until(`${rest}x`);
        await machine.restore(state);
        await guest.until(`hello, ttt${rest}`);
        await guest.send('y');
        await guest.until(`hello, ttt${rest}y`);
      } finally {
        await Promise.all(machines.map((each) => each.close()));
      }
    },
  );
}

test('input that the guest has not read is part of the state', limit, async () => {
  const machine = await kvm({ memory }).start((host) => host, { kernel: counter });
  const machines = [machine];
  try {
    await machine.pause();
    const writer = machine.console.writable.getWriter();
    await writer.write(Uint8Array.of(1, 1, 1));
    const copy = await kvm().resume((host) => host, await machine.save());
    machines.push(copy);
    const reader = copy.console.readable.getReader();
    const seen: number[] = [];
    while (seen.length < 3) seen.push(...(await reader.read()).value!);
    assert.deepEqual(seen, [1, 2, 3]);
  } finally {
    await Promise.all(machines.map((each) => each.close()));
  }
});

test('a state holds no random value that was not served', limit, async () => {
  const drawn: Uint8Array[] = [];
  const os = systemSource();
  const source = {
    ...os,
    fill(bytes: Uint8Array<ArrayBuffer>) {
      os.fill(bytes);
      drawn.push(bytes.slice());
    },
  };
  const machine = await kvm({ memory }).start(commonhv({ rng: { source } }), { kernel: probeImage() });
  try {
    const [cpu] = await cpusOf(machine);
    const served = (await cpu!.rdmsr(RNG)) as bigint;
    const state = Buffer.from(await machine.save());
    const values = drawn.flatMap((bytes) =>
      Array.from({ length: bytes.length / 8 }, (_, i) => Buffer.from(bytes.subarray(i * 8, i * 8 + 8))),
    );
    assert.ok(values.length > 0);
    const own = Buffer.from(new BigUint64Array([served]).buffer);
    for (const value of values) {
      if (value.equals(own)) continue;
      assert.equal(state.indexOf(value), -1);
      assert.equal(state.indexOf(Buffer.from(value).reverse()), -1);
    }
  } finally {
    await machine.close();
  }
});

test(
  'a machine that is paused stays paused over a save; one that has ended is not saved',
  limit,
  async () => {
    const machine = await kvm({ memory }).start(whole(), { kernel: probeImage() });
    const [cpu] = await cpusOf(machine);
    await machine.pause();
    await machine.save();
    let answered = false;
    const answer = Promise.resolve(cpu!.rdmsr(RNG)).then(() => {
      answered = true;
    });
    await new Promise((resolve) => setTimeout(resolve, 100));
    assert.equal(answered, false);
    await machine.unpause();
    await answer;
    const saving = machine.save();
    await machine.close();
    await saving.catch((error: Error) => assert.match(error.message, /^the machine has ended: closed$/));
    await assert.rejects(machine.save(), { name: 'MachineError', message: 'the machine has ended: closed' });
  },
);
