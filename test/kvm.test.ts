/** The KVM engine: the guest sees what the layer answers, wherever the layer lives and however many vCPUs there are. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Cpu, Layer, Regs } from 'commonhv';
import { type KvmMachine, kvm, type LayerModule } from 'commonhv/engines/kvm';
import { scan } from 'commonhv/guest';
import { commonhv, countingSource } from 'commonhv/hypervisor';
import { overSerial, probeImage } from 'commonhv/probe';
import { skip } from './support/kvm-availability.ts';
import { url } from './support/kvm-layers.ts';
import { scaled } from './support/time.ts';

const memory = 16 * 2 ** 20;
const module = (name: string, options?: unknown): LayerModule => ({ module: url, export: name, options });
const kernel = probeImage();
const text = ({ ebx, ecx, edx }: Regs): string =>
  new TextDecoder().decode(new Uint32Array([ebx, ecx, edx]).buffer);

async function probed<T>(
  layer: Layer | LayerModule,
  use: (cpus: readonly Cpu[], machine: KvmMachine) => Promise<T>,
  vcpus = 1,
): Promise<T> {
  const machine = await kvm({ memory, vcpus }).start(layer, { kernel });
  try {
    return await use(await Promise.all(machine.consoles.map((console) => overSerial(console))), machine);
  } finally {
    await machine.close();
  }
}

const homes: Record<string, () => Layer | LayerModule> = {
  'a function on the caller’s thread': () => commonhv({ rng: { source: countingSource() } }),
  'a module in the machine’s home': () => module('counting'),
};
for (const [name, layer] of Object.entries(homes)) {
  test(`the guest sees the layer: ${name}`, { skip }, () =>
    probed(layer(), async ([cpu]) => {
      const said = commonhv({ rng: { source: countingSource() } })((await kvm().hostCpu()) as never);
      for (const leaf of [0x4f00_0000, 0x4f00_0001, 0x4f00_0002, 0x4f00_0003, 0x4000_0000, 0, 0x8000_0000]) {
        assert.deepEqual(await cpu!.cpuid(leaf, 0), said.cpuid(leaf, 0), leaf.toString(16));
      }
      assert.ok(((await cpu!.cpuid(1, 0)).ecx & (1 << 31)) !== 0);
      assert.deepEqual([await cpu!.rdmsr(0x4000_00a0), await cpu!.rdmsr(0x4000_00a0)], [1n, 2n]);
      assert.equal(await cpu!.rdmsr(0x4000_00a1), '#GP');
      assert.equal(await cpu!.wrmsr(0x4000_00a0, 5n), '#GP');
      assert.equal(await cpu!.rdmsr(0xdead_0000), '#GP');
    }),
  );

  test(`four vCPUs see the same leaves and share one RNG: ${name}`, { skip }, () =>
    probed(
      layer(),
      async (cpus) => {
        assert.equal(cpus.length, 4);
        const leaves = (cpu: Cpu) =>
          Promise.all([0x4f00_0000, 0x4f00_0001, 0x4f00_0002, 0x4f00_0003].map((leaf) => cpu.cpuid(leaf, 0)));
        const [first, ...others] = await Promise.all(cpus.map(leaves));
        for (const other of others) assert.deepEqual(other, first);
        const ids = await Promise.all(cpus.map(async (cpu) => (await cpu.cpuid(1, 0)).ebx >>> 24));
        assert.deepEqual(ids, [0, 1, 2, 3]);
        const words = await Promise.all(
          cpus.map(async (cpu) => {
            const own: bigint[] = [];
            for (let i = 0; i < 25; i++) own.push((await cpu.rdmsr(0x4000_00a0)) as bigint);
            return own;
          }),
        );
        // The source counts: every word from 1 to 100 was served, and served once.
        const sorted = words.flat().sort((a, b) => (a < b ? -1 : 1));
        assert.deepEqual(
          sorted,
          Array.from({ length: 100 }, (_, i) => BigInt(i + 1)),
        );
      },
      4,
    ),
  );
}

test('a layer module takes options', { skip }, () =>
  probed(module('random', { draft: 2 }), async ([cpu]) => {
    assert.equal((await cpu!.cpuid(0x4f00_0002, 0)).ebx, 0);
    assert.notEqual(await cpu!.rdmsr(0x4000_00a0), await cpu!.rdmsr(0x4000_00a0));
  }),
);

test('KVM’s own leaves are below the layer, and pass through to the guest', { skip }, async () => {
  const host = await (await kvm().hostCpu()).cpuid(0x4000_0000, 0);
  assert.equal(text(host), 'KVMKVMKVM\0\0\0');
  const interfaces = [{ signature: 'KVMKVMKVM\0\0\0', location: 0x4000_0000 }];
  await probed(commonhv({ interfaces }), async ([cpu]) => {
    const tuple = await cpu!.cpuid(0x4f00_0001, 1);
    assert.deepEqual(tuple, { ...host, eax: 0x4000_0000 });
    assert.deepEqual(await cpu!.cpuid(tuple.eax, 0), host);
  });
});

test('with hyperv a guest sees both interfaces, each at its place', { skip }, async (t) => {
  let host: Cpu;
  try {
    host = await kvm({ hyperv: true }).hostCpu();
  } catch (error) {
    assert.match((error as Error).message, /^this KVM offers no Hyper-V leaves/);
    return t.skip((error as Error).message);
  }
  const machine = await kvm({ memory, hyperv: true }).start((below) => commonhv()(below), { kernel });
  try {
    for (const cpu of [host, await overSerial(machine.console)]) {
      // KVM's own vendor string there: "Linux KVM Hv" (arch/x86/kvm/hyperv.c); a layer below may show Microsoft's.
      const vendor = await cpu.cpuid(0x4000_0000, 0);
      assert.match(text(vendor), /^(Linux KVM Hv|Microsoft Hv)$/);
      assert.ok(vendor.eax >= 0x4000_0005);
      // TLFS: the interface's signature, "Hv#1", is the leaf after it.
      assert.equal((await cpu.cpuid(0x4000_0001, 0)).eax, 0x3123_7648);
      assert.equal(text(await cpu.cpuid(0x4000_0100, 0)), 'KVMKVMKVM\0\0\0');
      // The layer lists nothing, so its guest finds them by the scan.
      assert.deepEqual(
        (await scan(cpu)).map(({ location }) => location),
        [0x4000_0000, 0x4000_0100],
      );
    }
  } finally {
    await machine.close();
  }
});

test('a paused machine does nothing, and goes on where it was', { skip }, () =>
  probed(module('counting'), async ([cpu], machine) => {
    assert.equal(await cpu!.rdmsr(0x4000_00a0), 1n);
    await machine.pause();
    let answered = false;
    const answer = Promise.resolve(cpu!.rdmsr(0x4000_00a0)).then((word) => {
      answered = true;
      return word;
    });
    await new Promise((resolve) => setTimeout(resolve, 150));
    assert.equal(answered, false);
    await machine.unpause();
    assert.equal(await answer, 2n);
  }),
);

test('a layer in the machine’s home tells its owner', { skip, timeout: scaled(20_000) }, async () => {
  const heard: unknown[] = [];
  let told = () => {};
  const first = new Promise<void>((resolve) => {
    told = resolve;
  });
  const onEvent = (event: unknown) => {
    heard.push(event);
    told();
  };
  await probed({ ...module('telling'), onEvent }, async ([cpu]) => {
    assert.equal(await cpu!.rdmsr(0xdead_0001), 5n);
    // It comes from another thread, and the guest's answer may overtake it.
    await first;
    assert.deepEqual(heard, [{ index: 0xdead_0001 }]);
  });
});

test('pausing twice is pausing once, and a paused machine can be closed', {
  skip,
  timeout: scaled(20_000),
}, async () => {
  for (const vcpus of [1, 3]) {
    await probed(
      module('counting'),
      async ([cpu], machine) => {
        await Promise.all([machine.pause(), machine.pause()]);
        await machine.pause();
        await machine.unpause();
        await machine.pause();
        await machine.unpause();
        assert.equal(await cpu!.rdmsr(0x4000_00a0), 1n);
        await machine.pause();
      },
      vcpus,
    );
  }
});
