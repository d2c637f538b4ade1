/** Saved v86 machines: resumed as new ones and put back in place, nothing lost, and every layer told. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { type Layer, type Machine, MachineError } from 'commonhv';
import { checkState, v86 } from 'commonhv/engines/v86';
import { overSerial, probeImage } from 'commonhv/probe';
import fc from 'fast-check';
import { BASE, HALT, kernel, RECEIVE_AL, SEND_AL, SPIN, send, u32, whole } from './support/guests.ts';
import { scaled } from './support/time.ts';

const engine = v86({ memory: 4 * 2 ** 20 });
const through: Layer = (host) => host;
const limit = { timeout: scaled(60_000) };

/** MSR 100H counts: each layer starts at a hundred of its own, and each restore adds one. */
function counting() {
  const told: string[] = [];
  let made = 0;
  const layer: Layer = (host) => {
    const start = ++made * 100;
    let value = start;
    told.push(`made ${made}`);
    return {
      ...host,
      rdmsr: (index) => (index === 0x100 ? BigInt(value) : host.rdmsr(index)),
      restored() {
        value++;
        told.push(`restored ${start / 100}`);
      },
    };
  };
  return { layer, told };
}
const quick = { pokeIntervalMs: 50 };

test(
  'each resumed machine has a layer of its own, which is told before it runs; so is a layer restored in place',
  limit,
  async () => {
    const { layer, told } = counting();
    const machine = await engine.start(layer, { kernel: probeImage() });
    const cpu = await overSerial(machine.console);
    assert.equal(await cpu.rdmsr(0x100), 100n);
    await cpu.wrmsr(0x175, 0xabcdn); // SYSENTER_ESP: state of the machine
    const state = await machine.save!();
    assert.equal(await cpu.rdmsr(0x100), 100n, 'saving changes nothing');
    await cpu.wrmsr(0x175, 0x1111n);

    const copies = await Promise.all([engine.resume(layer, state), engine.resume(layer, state)]);
    const cpus = await Promise.all(copies.map((copy) => overSerial(copy.console, quick)));
    assert.deepEqual(await Promise.all(cpus.map((copy) => copy.rdmsr(0x100))), [201n, 301n]);
    assert.deepEqual(await Promise.all(cpus.map((copy) => copy.rdmsr(0x175))), [0xabcdn, 0xabcdn]);

    await machine.restore!(state);
    assert.equal(told.at(-1), 'restored 1');
    assert.equal(await cpu.rdmsr(0x100), 101n);
    assert.equal(await cpu.rdmsr(0x175), 0xabcdn);
    await machine.pause!();
    await machine.restore!(state);
    assert.equal(told.at(-1), 'restored 1', 'told before the guest goes on');
    await machine.unpause!();
    assert.equal(await cpu.rdmsr(0x100), 102n);
    assert.deepEqual(told.toSorted(), [
      'made 1',
      'made 2',
      'made 3',
      'restored 1',
      'restored 1',
      'restored 2',
      'restored 3',
    ]);
    await Promise.all([machine, ...copies].map((one) => one.close()));
  },
);

/**
 * Halts with interrupts on and a character of flags, MXCSR and FPU status in the processor; an interrupt of the serial port
 * makes it send them. Then it changes all three, and starts again.
 */
const registers = (() => {
  const IDT = BASE + 0x800;
  const TABLE = BASE + 0x7f0;
  const HANDLER = BASE + 0x700;
  const MXCSR = BASE + 0x600;
  const four = [0xb9, 4, 0, 0, 0, ...SEND_AL, 0xc1, 0xe8, 8, 0x49, 0x75, 0xf5]; // EAX, byte by byte
  const tell = [
    ...[0xfb, 0xf4], // sti; hlt
    ...[0x9c, 0x58, 0x25, ...u32(0x8d5), ...four], // pushfd; pop eax; and eax, arithmetic flags
    ...[0x0f, 0xae, 0x1d, ...u32(MXCSR), 0xa1, ...u32(MXCSR), ...four], // stmxcsr; mov eax
    ...[0x31, 0xc0, 0xdf, 0xe0, 0x25, ...u32(0x4500), ...four], // fnstsw ax; and eax, C3 C2 C0
  ];
  const code = [
    ...[0xbc, ...u32(0x8_0000), 0x0f, 0x01, 0x1d, ...u32(TABLE)], // mov esp; lidt
    ...[0xb0, 0xef, 0xe6, 0x21], // only interrupt 4 gets through
    ...[0x66, 0xba, 0xf9, 0x03, 0xb0, 0x01, 0xee], // the serial port interrupts for what it receives
    ...[0x0f, 0xae, 0x15, ...u32(MXCSR + 4)], // ldmxcsr
    ...[0xdb, 0xe3, 0xd9, 0xe8, 0xd9, 0xee, 0xde, 0xd9], // fninit; fld1; fldz; fcompp: C0
    ...[...send('r'), 0x31, 0xc0, 0x83, 0xe8, 0x01], // xor eax, eax; sub eax, 1
    ...tell,
    ...[0x0f, 0xae, 0x15, ...u32(MXCSR + 8), 0xd9, 0xe8, 0xd9, 0xe8, 0xde, 0xd9], // all of it otherwise
    ...[0x31, 0xc0],
    ...tell,
    ...HALT,
  ];
  return kernel(code, {
    [MXCSR]: [0, 0, 0, 0, ...u32(0x3f80), ...u32(0x1f80)],
    [HANDLER]: [0x50, 0x52, 0x66, 0xba, 0xf8, 0x03, 0xec, 0xb0, 0x20, 0xe6, 0x20, 0x5a, 0x58, 0xcf],
    [TABLE]: [0xff, 0, ...u32(IDT)],
    [IDT + 8 * 4]: [HANDLER & 0xff, (HANDLER >> 8) & 0xff, 0x10, 0, 0, 0x8e, HANDLER >> 16, 0],
  });
})();

test('flags, MXCSR and the FPU’s status come back, resumed and in place', limit, async () => {
  const first = [...u32(0x95), ...u32(0x3f80), ...u32(0x100)]; // SF AF PF CF; C0
  const second = [...u32(0x44), ...u32(0x1f80), ...u32(0x4000)]; // ZF PF; C3
  const machine = await engine.start(through, { kernel: registers });
  const answer = reading(machine);
  assert.deepEqual(await answer(1), [0x72]);
  await new Promise((resolve) => setTimeout(resolve, 50));
  const state = await machine.save!();
  const poke = (one: Machine) => {
    const writer = one.console.writable.getWriter();
    return () => writer.write(Uint8Array.of(0x20));
  };
  const go = poke(machine);
  await go();
  assert.deepEqual(await answer(12), first);
  await machine.restore!(state);
  await go();
  assert.deepEqual(await answer(12), first);
  const later = await machine.save!();
  await go();
  assert.deepEqual(await answer(12), second);

  for (const [saved, expected] of [
    [state, first],
    [later, second],
  ] as const) {
    const copy = await engine.resume(through, saved);
    const its = reading(copy);
    await poke(copy)();
    assert.deepEqual(await its(12), expected);
    await copy.close();
  }
  await machine.close();
});

/** Takes a number of bytes from the console. */
function reading({ console }: Machine) {
  const reader = console.readable.getReader();
  let rest: number[] = [];
  return async (count: number) => {
    while (rest.length < count) {
      const { value, done } = await reader.read();
      if (done) throw new Error(`the guest ended after ${rest.length} of ${count} bytes`);
      rest.push(...value);
    }
    const taken = rest.slice(0, count);
    rest = rest.slice(count);
    return taken;
  };
}

test('characters that the guest had not read yet are in the saved state', limit, async () => {
  // Counts to a hundred million, then echoes until a 4 comes.
  const busy = [0xb9, ...u32(100_000_000), 0x49, 0x75, 0xfd];
  const guest = kernel([...busy, ...RECEIVE_AL, ...SEND_AL, 0x3c, 0x04, 0x75, 0xeb, ...HALT]);
  const machine = await engine.start(through, { kernel: guest });
  const writer = machine.console.writable.getWriter();
  await writer.write(new TextEncoder().encode('abc'));
  const state = await machine.save!();
  await machine.close();
  const copy = await engine.resume(through, state);
  await copy.console.writable.getWriter().write(Uint8Array.of(4));
  assert.equal(await whole(copy.console.readable), 'abc\u0004');
});

test(
  'what is no saved machine, or a damaged one, is refused in one line, and nothing is left running',
  limit,
  async () => {
    const machine = await engine.start(through, { kernel: kernel(SPIN) });
    after(() => machine.close());
    const state = await machine.save!();
    const other = await v86({ memory: 2 * 2 ** 20 }).start(through, { kernel: kernel(SPIN) });
    after(() => other.close());
    await assert.rejects(other.restore!(state), { name: 'TypeError', message: /this one has 2097152$/ });
    for (const bad of [
      new Uint8Array(0),
      new Uint8Array(1000),
      state.subarray(0, state.length - 1),
      'x' as never,
    ]) {
      await assert.rejects(engine.resume(through, bad), { name: 'TypeError', message: /^state: .*/ });
      await assert.rejects(machine.restore!(bad), TypeError);
    }
    const description = state.length > 0x1_0000 ? 0x2000 : state.length; // headers and both descriptions
    await fc.assert(
      fc.asyncProperty(fc.nat(description), fc.integer({ min: 1, max: 255 }), async (at, change) => {
        const damaged = state.slice();
        damaged[at]! ^= change;
        try {
          await (await engine.resume(through, damaged)).close();
        } catch (error) {
          // A changed format number is that of another version.
          const refused = error instanceof MachineError && error.code === 'refused';
          assert.ok(
            error instanceof TypeError || error instanceof RangeError || refused,
            String((error as Error).stack),
          );
          assert.doesNotMatch((error as Error).message, /[^ -~’]/);
        }
      }),
      { numRuns: 40 },
    );
    await machine.close();
    await other.close();
  },
);

test(
  'a state with other bytes than were saved is refused; one of before, without a sum, is taken',
  limit,
  async () => {
    const machine = await engine.start(through, { kernel: registers });
    const state = await machine.save!();
    await machine.close();
    checkState(state);
    for (const [from, to] of [
      [state.length / 2, state.length],
      [state.length - 1, state.length],
    ] as const) {
      const broken = state.slice();
      for (let i = Math.floor(from); i < to; i++) broken[i]! ^= 0x80;
      const error = { name: 'TypeError', message: 'state: broken: its bytes are not those that were saved' };
      assert.throws(() => checkState(broken), error);
      await assert.rejects(engine.resume(through, broken), error);
    }
    // A sum of the same length under another name.
    const old = Buffer.from(state);
    old.write('"mus"', old.indexOf('"sum"'));
    checkState(old);
  },
);
