/** How machines on KVM end: what the guest did is told apart, and a hostile guest harms nothing but itself. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { End, Layer } from 'commonhv';
import { kvm, type LayerModule } from 'commonhv/engines/kvm';
import { CODE, kernel as flat, u32 } from './support/guests.ts';
import { skip } from './support/kvm-availability.ts';
import { closeSoon } from './support/kvm-closing.ts';
import { url } from './support/kvm-layers.ts';
import { scaled } from './support/time.ts';

const guest = (...code: readonly number[]): Uint8Array => flat(code);
const memory = 16 * 2 ** 20;
const bare: Layer = (host) => host;
/** So often is closing measured. */
const TIMES = 5;

async function endOf(kernel: Uint8Array, layer: Layer | LayerModule = bare): Promise<End> {
  const machine = await kvm({ memory }).start(layer, { kernel });
  const late = setTimeout(() => void machine.close(), 20_000);
  try {
    return await machine.ended;
  } finally {
    clearTimeout(late);
    await machine.close();
  }
}

const RDMSR = [0xb9, ...u32(0xdead_0000), 0x0f, 0x32]; // mov ecx, 0xdead0000; rdmsr

const ends: [string, Uint8Array, End['reason'], RegExp][] = [
  ['HLT', guest(0xf4), 'halt', /rip=0x10002[01] /],
  // lidt [zeros]; ud2
  [
    'a triple fault',
    guest(0x0f, 0x01, 0x1d, ...u32(CODE + 9), 0x0f, 0x0b, 0, 0, 0, 0, 0, 0),
    'shutdown',
    /^triple fault; rip=/,
  ],
  [
    'a write where nothing is',
    guest(0xa3, ...u32(0xd000_0000)),
    'failed',
    /^the guest wrote 4 bytes at 0xd0000000, where nothing is; rip=/,
  ],
  [
    'a read where nothing is',
    guest(0xa0, ...u32(0xfee0_0000)),
    'failed',
    /^the guest read 1 bytes at 0xfee00000, where nothing is; rip=/,
  ],
  // mov eax, 0xe0000000; jmp eax
  ['a jump to nowhere', guest(0xb8, ...u32(0xe000_0000), 0xff, 0xe0), 'failed', /0xe0000000|rip=0xe0000000/],
  // mov dx, 0x604; mov ax, 0x2000; out dx, ax
  [
    'power off',
    guest(0x66, 0xba, 0x04, 0x06, 0x66, 0xb8, 0x00, 0x20, 0x66, 0xef),
    'quit',
    /^the guest powered off$/,
  ],
  // mov al, 0xfe; out 0x64, al
  [
    'a reset by the keyboard controller',
    guest(0xb0, 0xfe, 0xe6, 0x64),
    'quit',
    /^the guest asked for a reset$/,
  ],
  // mov dx, 0xcf9; mov al, 6; out dx, al
  [
    'a reset by the chip set',
    guest(0x66, 0xba, 0xf9, 0x0c, 0xb0, 0x06, 0xee),
    'quit',
    /^the guest asked for a reset$/,
  ],
  // mov dx, 0xcf8; mov eax, -1; out dx, eax; hlt
  [
    'HLT after a write to PCI’s address register',
    guest(0x66, 0xba, 0xf8, 0x0c, 0xb8, ...u32(0xffff_ffff), 0xef, 0xf4),
    'halt',
    /rip=/,
  ],
  // A fault without an interrupt table ends in a triple fault too.
  ['an MSR that nobody has, and no handler', guest(...RDMSR), 'shutdown', /^triple fault/],
];
for (const [name, kernel, reason, detail] of ends) {
  test(`${name} ends the machine as ${reason}`, { skip }, async () => {
    const end = await endOf(kernel);
    assert.equal(end.reason, reason, JSON.stringify(end));
    assert.match(String(end.detail), detail);
  });
}

test('a layer that throws ends the machine with what it threw, on either thread', { skip }, async () => {
  const here: Layer = (host) => ({
    ...host,
    rdmsr() {
      throw new RangeError('the layer broke');
    },
  });
  for (const layer of [here, { module: url, export: 'throwing' }]) {
    const end = await endOf(guest(...RDMSR), layer);
    assert.equal(end.reason, 'failed');
    assert.ok(end.cause instanceof RangeError);
    assert.equal(end.cause.message, 'the layer broke');
    assert.equal(end.detail, 'RangeError: the layer broke');
  }
});

test('a layer that cannot be built is reported by start, and leaves nothing', { skip }, async () => {
  const start = (layer: unknown) => kvm({ memory }).start(layer as Layer, { kernel: guest(0xf4) });
  await assert.rejects(start({ module: url, export: 'refusing' }), /^TypeError: these options contradict/);
  await assert.rejects(start({ module: url, export: 'noLayer' }), /returned no layer$/);
  await assert.rejects(start({ module: url, export: 'missing' }), /exports no function "missing"$/);
  await assert.rejects(start({ module: 'file:///nowhere.js', export: 'x' }), /nowhere\.js/);
  await assert.rejects(start(7), /^TypeError: layer: expected a function, or/);
  await assert.rejects(
    start(() => {
      throw new RangeError('no');
    }),
    /^RangeError: no$/,
  );
});

test('what cannot be is refused before there is a machine', async () => {
  assert.throws(() => kvm({ memory: 4096 }), /^RangeError: memory: expected 1 MiB to 3 GiB/);
  assert.throws(() => kvm({ vcpus: 0 }), /^RangeError: vcpus: expected 1 to 16, got 0$/);
  const engine = kvm({ memory: 2 ** 20, device: '/nowhere/kvm' });
  await assert.rejects(engine.start(bare, { kernel: guest(0xf4) }), RangeError); // 1 MiB and beyond
  await assert.rejects(engine.start(bare, { kernel: new Uint8Array(512) }), TypeError);
});

test('a missing KVM is one line that names the engine that would do', {
  skip: process.platform !== 'linux' && 'needs Linux',
}, async () => {
  for (const asked of [
    kvm({ device: '/nowhere/kvm' }).hostCpu(),
    kvm({ device: '/nowhere/kvm' }).start(bare, { kernel: guest(0xf4) }),
  ]) {
    await assert.rejects(asked, (error: Error) => {
      assert.equal(error.name, 'MachineError');
      assert.match(
        error.message,
        /^no KVM: cannot open \/nowhere\/kvm: it is not there; the engine v86 needs/,
      );
      return true;
    });
  }
  await assert.rejects(
    kvm({ device: '/dev/null' }).hostCpu(),
    /^MachineError: no KVM: \/dev\/null is not KVM's device$/,
  );
});

test('a guest that loops on MSR reads is closed at once, wherever its layer is', {
  skip,
  timeout: scaled(20_000),
}, async () => {
  let reads = 0;
  const counting: Layer = (host) => ({
    ...host,
    rdmsr() {
      reads++;
      return 0n;
    },
  });
  const kernel = guest(0xb9, ...u32(0x4000_00a0), 0x0f, 0x32, 0xeb, 0xfc); // mov ecx, 400000a0h; rdmsr; jmp to the rdmsr
  for (const layer of [counting, { module: url, export: 'counting' }]) {
    const looping = async () => {
      reads = 0;
      const machine = await kvm({ memory }).start(layer, { kernel });
      do await new Promise((resolve) => setTimeout(resolve, 100));
      while (layer === counting && reads <= 100);
      return machine;
    };
    await closeSoon(Array(TIMES).fill(looping));
  }
});

test('a guest that floods the console is held by an unread line, and flows when it is read', {
  skip,
}, async () => {
  // mov dx, 0x3f8; mov al, 'x'; mov ecx, 200000; rep outsb from 0x100000; hlt
  const kernel = guest(
    ...[0x66, 0xba, 0xf8, 0x03],
    ...[0xbe, ...u32(0x10_0000)],
    ...[0xb9, ...u32(200_000)],
    ...[0xf3, 0x6e],
    0xf4,
  );
  const machine = await kvm({ memory }).start(bare, { kernel });
  await new Promise((resolve) => setTimeout(resolve, 300));
  let length = 0;
  for await (const chunk of machine.console.readable) length += chunk.length;
  assert.equal(length, 200_000);
  assert.equal((await machine.ended).reason, 'halt');
  await machine.close();

  const unread = async () => {
    const held = await kvm({ memory }).start(bare, { kernel });
    await new Promise((resolve) => setTimeout(resolve, 300));
    return held;
  };
  await closeSoon(Array(TIMES).fill(unread));
});
