/** The generation page and acknowledgement on KVM: at the start, in a resumed machine, and after a restore in place. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Layer, LayerModule } from 'commonhv';
import { type KvmMachine, kvm } from 'commonhv/engines/kvm';
import { commonhv, systemSource } from 'commonhv/hypervisor';
import { overSerial, probeImage } from 'commonhv/probe';
import { kernel, RECEIVE_AL, SEND_AL, u32 } from './support/guests.ts';
import { skip } from './support/kvm-availability.ts';
import { url } from './support/kvm-layers.ts';
import { scaled } from './support/time.ts';

const limit = { skip, timeout: scaled(60_000) };
const memory = 4 * 2 ** 20;
const GENERATION = 0x4000_00a1;
const PAGE_MSR = 0x4000_00a2;
const PAGE = 0x20_0000;
const LOOKS = 0xdead_0001; // an MSR by which the guest tells what it saw in its page

/**
 * Registers the page, then answers each byte with 16: the generation by RDMSR (EAX, EDX), and the page's first 8 bytes.
 */
const reader = (() => {
  const sendDwords = [
    // bl = 4: send al; shr eax, 8; dec bl; jnz
    ...[0xb3, 0x04, ...SEND_AL, 0xc1, 0xe8, 0x08, 0xfe, 0xcb, 0x75, -(SEND_AL.length + 7) & 0xff],
  ];
  const rdmsr = (register: number[]) => [0xb9, ...u32(GENERATION), 0x0f, 0x32, ...register, ...sendDwords];
  const loop = [
    ...RECEIVE_AL,
    ...rdmsr([]), // rdmsr; send eax
    ...rdmsr([0x89, 0xd0]), // rdmsr; mov eax, edx; send
    ...[0xa1, ...u32(PAGE), ...sendDwords], // mov eax, [page]
    ...[0xa1, ...u32(PAGE + 4), ...sendDwords],
  ];
  return kernel([
    ...[0xb9, ...u32(PAGE_MSR), 0xb8, ...u32(PAGE | 1), 0x31, 0xd2, 0x0f, 0x30], // mov ecx; mov eax; xor edx, edx; wrmsr
    ...loop,
    ...[0xe9, ...u32(-(loop.length + 5))], // jmp to the loop
  ]);
})();

function asker({ console }: KvmMachine): () => Promise<{ msr: bigint; page: bigint }> {
  const [input, output] = [console.writable.getWriter(), console.readable.getReader()];
  return async () => {
    await input.write(Uint8Array.of(1));
    const bytes = new Uint8Array(16);
    for (let at = 0; at < 16; ) {
      const { value } = await output.read();
      bytes.set(value!, at);
      at += value!.length;
    }
    const view = new DataView(bytes.buffer);
    return { msr: view.getBigUint64(0, true), page: view.getBigUint64(8, true) };
  };
}

const layers: Record<string, () => Layer | LayerModule> = {
  'a function': () => commonhv({ generation: {}, rng: { source: systemSource() } }),
  'a module': () => ({ module: url, export: 'whole' }),
};
for (const [name, layer] of Object.entries(layers)) {
  test(`the page holds the generation on every route, under ${name}`, limit, async () => {
    const machine = await kvm({ memory }).start(layer(), { kernel: reader });
    const machines = [machine];
    try {
      const ask = asker(machine);
      const first = await ask();
      assert.equal(first.page, first.msr);
      assert.notEqual(first.msr, 0n);
      const state = await machine.save();
      const seen = new Set([first.msr]);
      for (let i = 0; i < 3; i++) {
        const copy = await kvm().resume(layer(), state);
        machines.push(copy);
        const { msr, page } = await asker(copy)();
        assert.equal(page, msr);
        seen.add(msr);
        await machine.restore(state);
        const restored = await ask();
        assert.equal(restored.page, restored.msr);
        seen.add(restored.msr);
      }
      assert.equal(seen.size, 7);
    } finally {
      await Promise.all(machines.map((each) => each.close()));
    }
  });
}

test('the page is new before the first instruction of a restored guest', limit, async () => {
  const looks: bigint[] = [];
  const layer: Layer = (host) => {
    const inner = commonhv({ generation: {} })(host);
    return {
      ...inner,
      wrmsr(index, value) {
        if (index !== LOOKS) return inner.wrmsr(index, value);
        looks.push(value);
        return undefined;
      },
    };
  };
  // registers the page; then: mov edx, [page + 4]; mov eax, [page]; mov ecx, looks; wrmsr; again
  const loop = [0x8b, 0x15, ...u32(PAGE + 4), 0xa1, ...u32(PAGE), 0xb9, ...u32(LOOKS), 0x0f, 0x30];
  const guest = kernel([
    ...[0xb9, ...u32(PAGE_MSR), 0xb8, ...u32(PAGE | 1), 0x31, 0xd2, 0x0f, 0x30],
    ...loop,
    ...[0xeb, -(loop.length + 2) & 0xff],
  ]);
  const machine = await kvm({ memory }).start(layer, { kernel: guest });
  const count = async (enough: number): Promise<void> => {
    while (looks.length < enough) await new Promise((resolve) => setTimeout(resolve, 5));
  };
  try {
    await count(10);
    const state = await machine.save();
    for (let i = 0; i < 10; i++) {
      const old = looks.at(-1);
      await machine.pause();
      looks.length = 0;
      await machine.restore(state);
      await machine.unpause();
      await count(20);
      // The state may be from between the loads and the WRMSR: then the first look is of before the save.
      assert.equal(new Set(looks.slice(1)).size, 1);
      assert.notEqual(looks[1], old);
    }
  } finally {
    await machine.close();
  }
});

test(
  'addresses without RAM are refused, and an acknowledgement is reported once a generation',
  limit,
  async () => {
    const acknowledged: number[] = [];
    const layer = (): Layer =>
      commonhv({ generation: { onAcknowledge: (milliseconds) => acknowledged.push(milliseconds) } });
    const machine = await kvm({ memory }).start(layer(), { kernel: probeImage() });
    let copy: KvmMachine | undefined;
    try {
      const cpu = await overSerial(machine.console, { answerTimeout: scaled(5000) });
      assert.equal((await cpu.cpuid(0x4f00_0002, 0)).eax & 0b1_1100, 0b1_1100);
      assert.equal((await cpu.cpuid(0x4f00_0003, 0)).edx, PAGE_MSR);
      assert.equal(await cpu.rdmsr(PAGE_MSR), 0n);
      for (const value of [
        0xa_0001n,
        0xf_f001n,
        BigInt(memory) | 1n,
        0xfee0_0001n,
        (1n << 40n) | 1n,
        0x20_0000n,
        0x20_0003n,
      ]) {
        assert.equal(await cpu.wrmsr(PAGE_MSR, value), '#GP', value.toString(16));
      }
      assert.equal(await cpu.wrmsr(PAGE_MSR, 0x20_0001n), undefined);
      assert.equal(await cpu.rdmsr(PAGE_MSR), 0x20_0001n);
      const generation = (await cpu.rdmsr(GENERATION)) as bigint;
      assert.equal(await cpu.wrmsr(GENERATION, generation ^ 1n), '#GP');
      for (let i = 0; i < 2; i++) assert.equal(await cpu.wrmsr(GENERATION, generation), undefined);
      assert.equal(acknowledged.length, 1);
      copy = await kvm().resume(layer(), await machine.save());
      const resumed = await overSerial(copy.console, { pokeIntervalMs: 5, answerTimeout: scaled(5000) });
      assert.equal(await resumed.rdmsr(PAGE_MSR), 0x20_0001n);
      assert.equal(await resumed.wrmsr(GENERATION, generation), '#GP');
      assert.equal(await resumed.wrmsr(GENERATION, (await resumed.rdmsr(GENERATION)) as bigint), undefined);
      assert.equal(acknowledged.length, 2);
    } finally {
      await Promise.all([machine.close(), copy?.close()]);
    }
  },
);

test('the memory of a machine: one page of RAM at a time, and nothing once it has ended', limit, async () => {
  const machine = await kvm({ memory }).start(commonhv({ generation: {} }), { kernel: probeImage() });
  const ram = machine.memory!;
  ram.write(PAGE + 4094, Uint8Array.of(1, 2));
  assert.deepEqual([...ram.read(PAGE + 4093, 3)], [0, 1, 2]);
  for (const [address, length] of [
    [0xa_0000, 1],
    [memory, 1],
    [-1, 1],
    [PAGE + 4095, 2],
    [PAGE, -1],
    [PAGE, 2 ** 40],
  ] as const)
    assert.throws(() => ram.read(address, length), RangeError, `${length} from ${address}`);
  await machine.close();
  assert.throws(() => ram.read(PAGE, 1), { name: 'MachineError', code: 'ended' });
});
