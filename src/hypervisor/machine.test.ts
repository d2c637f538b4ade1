import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bare, type GuestMemory, type SyncCpu } from '../cpu.ts';
import { commonhv, maskCommonhv, type Source } from './index.ts';

const [RNG, GENERATION, PAGE] = [0x4000_00a0, 0x4000_00a1, 0x4000_00a2];
const AT = 0x5000;

/** 64 KiB of guest RAM, from which pages can be taken, under a layer that the engine can stop. */
class Host implements GuestMemory {
  readonly pages = new Map<number, [bigint, bigint]>();
  readonly gone = new Set<number>();
  stopped = false;
  readonly storedWhileStopped: boolean[] = [];
  readonly cpu: SyncCpu = {
    ...bare,
    memory: this,
    whileStopped: (action) => {
      this.stopped = true;
      action();
      this.stopped = false;
    },
  };

  isRam(address: number): boolean {
    return address % 4096 === 0 && address < 0x1_0000 && !this.gone.has(address);
  }

  store(address: number, offset: 0 | 8, value: bigint): void {
    assert.ok(this.isRam(address), 'a store goes to RAM alone');
    this.storedWhileStopped.push(this.stopped);
    const words = this.pages.get(address) ?? [0n, 0n];
    words[offset >> 3] = value;
    this.pages.set(address, words);
  }

  load(address: number, offset: 0 | 8): bigint {
    return this.pages.get(address)?.[offset >> 3] ?? 0n;
  }
}

const halves = (value: bigint) => [value & 0xffff_ffffn, value >> 32n];

test('a page that is gone at a restore or a renewal sets the register to 0, once, and the owner is told which', () => {
  for (const how of ['restore', 'renewal'] as const) {
    const host = new Host();
    const lost: number[] = [];
    let outer = 1n;
    const generation = { outer: () => outer, onPageLost: (address: number) => lost.push(address) };
    const cpu = commonhv({ generation })(host.cpu);
    assert.equal(cpu.wrmsr(PAGE, BigInt(AT) | 1n), undefined);
    const before = cpu.rdmsr(GENERATION);
    assert.equal(host.load(AT, 0), before);
    const saved = cpu.saved!();
    host.gone.add(AT); // unplugged, or ballooned
    if (how === 'restore') cpu.restored!(saved);
    else {
      outer = 2n;
      cpu.poll!();
    }
    assert.deepEqual(lost, [AT], how);
    assert.equal(cpu.rdmsr(PAGE), 0n);
    assert.notEqual(cpu.rdmsr(GENERATION), before, 'the generation was renewed all the same');
    assert.equal(host.load(AT, 0), before, 'nothing was stored');
    host.gone.delete(AT);
    cpu.restored!(cpu.saved!());
    assert.equal(host.load(AT, 0), before, 'a lost page stays lost');
    assert.deepEqual(lost, [AT]);
    assert.equal(cpu.wrmsr(PAGE, BigInt(AT) | 1n), undefined, 'the guest can set it again');
    assert.equal(host.load(AT, 0), cpu.rdmsr(GENERATION));
  }
});

test('a state whose page is none, or that its leaves do not offer, is refused, and nothing is stored', () => {
  const host = new Host();
  const cpu = commonhv({ generation: {} })(host.cpu);
  assert.equal(cpu.wrmsr(PAGE, BigInt(AT) | 1n), undefined);
  const saved = cpu.saved!();
  const stored = host.load(AT, 0);
  for (const page of ['5001', '5008', 'fff', 'x', '-1', '1'.repeat(17)])
    assert.throws(() => cpu.restored!({ ...saved, page }), { code: 'refused', message: /^state: broken: / });
  const without = commonhv({ generation: { page: false } })(host.cpu);
  const own = without.saved!();
  assert.throws(() => without.restored!({ ...own, page: AT.toString(16) }), {
    code: 'refused',
    message: 'state: broken: it has a generation page, which its leaves do not offer',
  });
  assert.equal(host.load(AT, 0), stored);
});

test('a reset disables the page, and leaves generation, acknowledgement, leaves and random values as they are', () => {
  const host = new Host();
  const resets: string[] = [];
  let acknowledged = 0;
  const cpu = commonhv({ generation: { onAcknowledge: () => acknowledged++ } })({
    ...host.cpu,
    reset: () => resets.push('host'),
  });
  assert.equal(cpu.rdmsr(PAGE), 0n, 'after power-on');
  assert.equal(cpu.wrmsr(PAGE, BigInt(AT) | 1n), undefined);
  const before = cpu.rdmsr(GENERATION) as bigint;
  assert.equal(cpu.wrmsr(GENERATION, before), undefined);
  const leaves = [1, 2, 3].map((leaf) => cpu.cpuid(0x4f00_0000 + leaf, 0));
  cpu.reset!();
  assert.deepEqual(resets, ['host']);
  assert.equal(cpu.rdmsr(PAGE), 0n, 'after a reset');
  assert.equal(cpu.rdmsr(GENERATION), before);
  assert.equal(cpu.wrmsr(GENERATION, before), undefined);
  assert.equal(acknowledged, 1, 'a repeat tells nothing');
  assert.deepEqual(
    [1, 2, 3].map((leaf) => cpu.cpuid(0x4f00_0000 + leaf, 0)),
    leaves,
  );
  host.pages.clear();
  cpu.restored!(cpu.saved!());
  assert.equal(host.pages.size, 0, 'nothing is stored for a page that a reset disabled');
});

test('the RNG, generation and page of an outer CommonHV raise #GP under maskCommonhv and under a layer without them', () => {
  const host = new Host();
  const asked: number[] = [];
  const source: Source = { name: 'outer', secure: true, fill: (bytes) => void crypto.getRandomValues(bytes) };
  const good = commonhv({
    rng: { source, input: 'mix', msr: 0x4000_00c0 },
    generation: { msr: 0x4000_00c1, pageMsr: 0x4000_00c2 },
  })(host.cpu);
  const outer: SyncCpu = {
    ...good,
    rdmsr(index) {
      asked.push(index);
      return good.rdmsr(index);
    },
    wrmsr(index, value) {
      asked.push(index);
      return index === 0x10 ? undefined : good.wrmsr(index, value);
    },
  };
  assert.deepEqual(good.cpuid(0x4f00_0003, 0), {
    eax: 0x4000_00c0,
    ebx: 1,
    ecx: 0x4000_00c1,
    edx: 0x4000_00c2,
  });
  for (const layer of [maskCommonhv, commonhv({}), commonhv({ rng: { source } })]) {
    const cpu = layer(outer);
    asked.length = 0;
    for (const index of [0x4000_00c0, 0x4000_00c1, 0x4000_00c2]) {
      assert.equal(cpu.rdmsr(index), '#GP', index.toString(16));
      assert.equal(cpu.wrmsr(index, 1n), '#GP', index.toString(16));
    }
    assert.deepEqual(asked, [], 'nothing of it reaches the outer hypervisor');
    assert.equal(cpu.wrmsr(0x10, 1n), undefined);
    assert.deepEqual(asked, [0x10], 'another MSR does');
  }
  assert.deepEqual(maskCommonhv(outer).cpuid(0x4f00_0000, 0), { eax: 0, ebx: 0, ecx: 0, edx: 0 });
});

test('draft 1 and 2 of an outer hypervisor: its RNG is out of reach too', () => {
  const source: Source = { name: 'outer', fill: (bytes) => void crypto.getRandomValues(bytes) };
  for (const draft of [1, 2] as const) {
    const outer = commonhv({ draft, rng: { source, msr: 0x4000_00c0, input: 'ignore' } })(bare);
    assert.equal(typeof outer.rdmsr(0x4000_00c0), 'bigint');
    const cpu = maskCommonhv(outer);
    assert.equal(cpu.rdmsr(0x4000_00c0), '#GP');
    assert.equal(cpu.wrmsr(0x4000_00c0, 1n), '#GP');
  }
});

test('a changed generation of the outer hypervisor renews generation and page, vCPUs stopped, and discards the read-ahead', () => {
  for (const moment of [
    'rdmsr of the RNG',
    'rdmsr of the generation',
    'an acknowledgement',
    'poll',
  ] as const) {
    const host = new Host();
    const draws: Uint8Array[] = [];
    const source: Source = {
      name: 'recorded',
      secure: true,
      fill(bytes) {
        crypto.getRandomValues(bytes);
        draws.push(bytes.slice());
      },
    };
    const outer = commonhv({ generation: { page: false, msr: 0x4000_00c1 } })(bare);
    const renewed: string[] = [];
    const cpu = commonhv({ rng: { source }, generation: { onRenewed: () => renewed.push(moment) } })({
      ...host.cpu,
      cpuid: outer.cpuid,
      rdmsr: outer.rdmsr,
    });
    assert.equal(cpu.wrmsr(PAGE, BigInt(AT) | 1n), undefined);
    const before = cpu.rdmsr(GENERATION) as bigint;
    cpu.rdmsr(RNG);
    cpu.poll!();
    assert.deepEqual(renewed, [], 'nothing changed yet');
    const drawn = draws.length;
    host.storedWhileStopped.length = 0;
    outer.restored!(); // the outer machine was copied, and this hypervisor with it
    if (moment === 'rdmsr of the RNG') cpu.rdmsr(RNG);
    if (moment === 'rdmsr of the generation') assert.notEqual(cpu.rdmsr(GENERATION), before);
    if (moment === 'an acknowledgement') assert.equal(cpu.wrmsr(GENERATION, before), '#GP');
    if (moment === 'poll') cpu.poll!();
    assert.deepEqual(renewed, [moment]);
    assert.deepEqual(host.storedWhileStopped, [true], 'one store, while no vCPU executes');
    const after = cpu.rdmsr(GENERATION) as bigint;
    assert.equal(host.load(AT, 0), after);
    for (const half of [0, 1]) assert.notEqual(halves(after)[half], halves(before)[half]);
    const value = moment === 'rdmsr of the RNG' ? undefined : cpu.rdmsr(RNG);
    assert.ok(draws.length > drawn, 'the next value is of a new draw');
    if (value !== undefined) {
      const first = new DataView(draws.at(-1)!.buffer).getBigUint64(8, true);
      assert.equal(value, first);
    }
    assert.deepEqual(renewed, [moment], 'once');
    assert.equal(cpu.wrmsr(GENERATION, after), undefined, 'the new one can be acknowledged');
  }
});

test('where the engine polls before each slice of a millisecond, the clock is read once for 32 values, and after each poll', (t) => {
  let now = 1000;
  const clock = t.mock.method(performance, 'now', () => now);
  const drawn = new Map<bigint, number>();
  const source: Source = {
    name: 'timed',
    secure: true,
    fill(bytes) {
      crypto.getRandomValues(bytes);
      const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
      for (let i = 0; i < bytes.length; i += 8) drawn.set(view.getBigUint64(i, true), now);
    },
  };
  const age = (cpu: SyncCpu) => now - drawn.get(cpu.rdmsr(RNG) as bigint)!;
  const polled = commonhv({ rng: { source } })({ ...bare, sliceMs: 1 });
  for (let i = 0; i < 3000; i++) assert.equal(age(polled), 0);
  const [calls] = [clock.mock.callCount()];
  for (let i = 0; i < 512; i++) age(polled);
  const looks = clock.mock.callCount() - calls;
  assert.ok(looks >= 16 && looks <= 24, `${looks} looks for 512 values`);
  // The slice ends, and the guest does not run for a while.
  for (let i = 0; i < 40; i++) {
    age(polled);
    now += 1.5;
    polled.poll!();
    assert.equal(age(polled), 0, 'a value that was prepared before the poll is too old');
  }
  // A slice that took longer than it should: fewer than 32 values may be older.
  age(polled);
  now += 5;
  let old = 0;
  while (age(polled) > 1) old++;
  assert.ok(old < 32, `${old} values`);
  // Any other engine: none.
  for (const host of [bare, { ...bare, sliceMs: 10 }]) {
    const cpu = commonhv({ rng: { source } })(host);
    for (let i = 0; i < 200; i++) {
      now += i % 7 === 0 ? 1.1 : 0.01;
      assert.ok(age(cpu) <= 1);
    }
  }
});
