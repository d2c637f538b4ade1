/** `commonhv seed` against a handed-in processor and a stand-in for /dev/random, on the real ioctl numbers. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Fault, Regs, SyncCpu } from '../cpu.ts';
import { GP, MachineError } from '../cpu.ts';
import { kernelPool } from '../engines/native/random.ts';
import type { Io } from './io.ts';
import type { SeedOptions } from './seed.ts';
import { seedFrom } from './seed.ts';

interface Guest {
  readonly statement?: number;
  readonly features?: number;
  readonly read?: () => bigint | Fault;
  readonly generation?: () => bigint | Fault;
  readonly wrmsr?: SyncCpu['wrmsr'];
}

function guest({
  statement = 1,
  features = 0b101,
  read = secret,
  generation = () => 1n,
  wrmsr,
}: Guest): SyncCpu {
  const leaves: Record<number, readonly number[]> = {
    1325400064: [0x4f000003, 0x6d6d6f43, 0x56486e6f, 0x66746e49],
    1325400066: [features, 3, 0, 0],
    1325400067: [0x400000a0, statement, 0x400000a1, 0],
  };
  return {
    cpuid(leaf): Regs {
      const [eax = 0, ebx = 0, ecx = 0, edx = 0] = leaves[leaf] ?? [];
      return { eax, ebx, ecx, edx };
    },
    rdmsr: (index) => (index === 0x400000a0 ? read() : index === 0x400000a1 ? generation() : GP),
    wrmsr: wrmsr ?? (() => assert.fail('something was written to the host')),
  };
}

const secret = (): bigint => crypto.getRandomValues(new BigUint64Array(1))[0]!;

/** Runs the command; returns its output, and the calls to the kernel as [request, credit, bytes]. */
async function run(
  given: Guest,
  options: Partial<SeedOptions> = {},
  calls = 99,
  answer: (request: number) => number = () => 0,
  kernel = '6.1.0-41-amd64',
) {
  const said: string[] = [];
  const ioctls: [number, number?, number?][] = [];
  const stop = new AbortController();
  const pool = kernelPool(
    '/dev/null',
    (_fd, request, bytes) => {
      const view = bytes && new DataView(bytes.buffer);
      ioctls.push(view ? [request, view.getInt32(0, true), view.getInt32(4, true)] : [request]);
      if (ioctls.length >= calls) stop.abort();
      return answer(request);
    },
    kernel,
  );
  const io: Io = {
    out: async (text) => void said.push(String(text)),
    err: (line) => void said.push(line),
    progress() {},
    input: () => assert.fail('asked for input'),
    raw() {},
    ...{ interactive: false, color: false, interrupted: stop.signal, env: {} },
    guest() {},
  };
  const world = { cpu: guest(given), pool: () => pool };
  const defaults: SeedOptions = { values: 8, interval: 1, format: 'text' };
  const status = await seedFrom(world, { ...defaults, ...options }, io);
  pool.close();
  return { status, said: said.join('\n'), ioctls };
}

test('values that are said to be secure are mixed, credited 256 bits, and used at once', async () => {
  const { status, said, ioctls } = await run({});
  assert.equal(status, 0);
  assert.deepEqual(ioctls, [[0x40085203, 256, 64], [0x5207]]);
  assert.match(said, /^mixed 512 bits from draft 3's RNG, credited 256: the hypervisor says they are secure/);
});

test('where the hypervisor takes it, the generation is acknowledged after the kernel’s reseed, and only then', async () => {
  const features = 0b10101;
  const order: string[] = [];
  const written: [number, bigint][] = [];
  const wrmsr = (index: number, value: bigint): undefined => {
    order.push('acknowledgement');
    written.push([index, value]);
  };
  const answer = (request: number): number => {
    order.push(request === 0x5207 ? 'reseed' : 'values');
    return 0;
  };
  const { said } = await run({ features, wrmsr, generation: () => 77n }, {}, 99, answer);
  assert.deepEqual(order, ['values', 'reseed', 'acknowledgement']);
  assert.deepEqual(written, [[0x400000a1, 77n]]);
  assert.match(said, /; acknowledged\n$/);
  const json = await run({ features, wrmsr }, { format: 'json' });
  assert.equal(JSON.parse(json.said).acknowledged, true);
  // Not reseeded: never seeded, or a kernel that takes no key for so little credit.
  const refuses = (request: number) => (request === 0x5207 ? -61 : 0);
  written.length = 0;
  for (const reply of [
    await run({ features, wrmsr }, { format: 'json' }, 99, refuses),
    await run({ features, wrmsr, statement: 0 }, { format: 'json' }, 99, () => 0, '5.10.0-33-amd64'),
    await run({ features, wrmsr }, { format: 'json', credit: 127 }, 99, () => 0, '5.17.9'),
  ]) {
    const { reseeded, acknowledged } = JSON.parse(reply.said);
    assert.deepEqual([reply.status, reseeded, acknowledged], [0, false, false]);
  }
  assert.deepEqual(written, []);
  const old = await run({ features, wrmsr }, { format: 'json' }, 99, () => 0, '5.10.0-33-amd64');
  assert.equal(JSON.parse(old.said).acknowledged, true, '256 bits are enough for every kernel');
});

test('a machine that is restored before the acknowledgement is seeded again, at most four times', async () => {
  let generation = 1n;
  let restores = 1;
  const wrmsr = (_: number, value: bigint): Fault | undefined => {
    if (restores-- > 0) generation++;
    return value === generation ? undefined : GP;
  };
  const given = { features: 0b10101, generation: () => generation, wrmsr };
  const once = await run(given);
  assert.equal(once.ioctls.length, 4, 'values and reseed, twice');
  assert.match(once.said, /; acknowledged\n$/);
  restores = 99;
  const never = await run(given);
  assert.equal(never.status, 1);
  assert.equal(never.ioctls.length, 8);
  assert.match(never.said, /the generation changed at every attempt/);
});

test('others are mixed for no credit; --credit says otherwise, up to what the values hold', async () => {
  for (const statement of [0, 2, 3]) {
    assert.deepEqual((await run({ statement })).ioctls, [[0x40085203, 0, 64], [0x5207]]);
  }
  assert.deepEqual((await run({ statement: 0 }, { credit: 256 })).ioctls[0], [0x40085203, 256, 64]);
  assert.deepEqual((await run({}, { credit: 0 })).ioctls[0], [0x40085203, 0, 64]);
  await assert.rejects(run({}, { credit: 513 }), /--credit 513: 8 values hold 512 bits at most/);
});

test('values that fail the checks reach no pool, whatever --credit says', async () => {
  let count = 0n;
  for (const read of [() => 7n, () => count++, () => GP] as const) {
    const { status, said, ioctls } = await run({ read }, { credit: 512 });
    assert.equal(status, 1);
    assert.deepEqual(ioctls, []);
    assert.match(said, /repeat|pattern|faults/);
  }
});

test('a kernel that was never seeded has nothing to reseed, which is no failure', async () => {
  const { status, said } = await run({}, { format: 'json' }, 99, (request) => (request === 0x5207 ? -61 : 0));
  assert.equal(status, 0);
  assert.deepEqual(JSON.parse(said), {
    ...{ cause: 'start', draft: 3, bits: 512, credited: 256, reseeded: false, acknowledged: false },
    reason: 'the hypervisor says they are secure',
  });
});

test('a kernel that refuses is an error of one line', async () => {
  const refuse = (request: number) => (request === 0x5207 ? -1 : 0);
  await assert.rejects(run({}, {}, 99, refuse), MachineError);
});

test('--watch seeds again at each new generation, waits out faults, and ends when it is told to', async () => {
  // Each seeding reads it twice, before and after the values.
  const seen: (bigint | Fault)[] = [1n, 1n, 1n, 1n, GP, 1n, 2n, 2n, 2n, 2n, GP, 2n, 3n];
  let at = 0;
  const generation = () => seen[Math.min(at++, seen.length - 1)]!;
  const { status, said, ioctls } = await run({ generation }, { watch: true }, 6);
  assert.equal(status, 0);
  assert.deepEqual(
    ioctls,
    Array(3)
      .fill([[0x40085203, 256, 64], [0x5207]])
      .flat(),
  );
  assert.equal(said.match(/the machine was resumed from a saved state: mixed 512/g)?.length, 2);
});

test('--watch: a copy that could not be seeded is tried again until it was, and its trouble is said once', async () => {
  // The copy is noticed at the third look; the RNG faults for two looks, then the kernel refuses twice.
  const seen = [1n, 1n, 1n, 1n, 1n, 2n];
  let at = 0;
  let values = 0;
  const read = () => (++values > 8 && values <= 10 ? GP : secret());
  const refusing = [0, 0, -22, -22];
  const { status, said, ioctls } = await run(
    { read, generation: () => seen[Math.min(at++, seen.length - 1)]! },
    { watch: true },
    6,
    () => refusing.shift() ?? 0,
  );
  assert.equal(status, 0);
  assert.deepEqual(
    ioctls.map(([request]) => request),
    [0x40085203, 0x5207, 0x40085203, 0x40085203, 0x40085203, 0x5207],
  );
  assert.equal(said.match(/register faults/g)?.length, 1);
  assert.equal(said.match(/RNDADDENTROPY: (EINVAL|error 22)/g)?.length, 1);
  assert.match(said, /the machine was resumed from a saved state: mixed 512 bits.*\n$/);
});

test('--watch without a generation seeds once and says that there is nothing to watch', async () => {
  const without = await run({ features: 1 }, { watch: true });
  assert.equal(without.status, 1);
  assert.equal(without.ioctls.length, 2);
  assert.match(without.said, /offers no generation to watch/);
  const faulting = await run({ generation: () => GP }, { watch: true });
  assert.equal(faulting.status, 1);
  assert.match(faulting.said, /the generation's register, 0x400000a1, faults/);
});

test('no RNG, no CommonHV: the answer is no, in one line, and never a value of the secret', async () => {
  const { status, said } = await run({ features: 0 });
  assert.deepEqual([status, said], [1, 'commonhv: CommonHV is here and offers no RNG']);
  const read = () => 0x0123456789abcdefn ^ (secret() & 0xffffn);
  assert.doesNotMatch((await run({ read }, { format: 'json' })).said, /123456789|81985529/);
});
