import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { inspect } from 'node:util';
import { bare, MachineError } from '../cpu.ts';
import { xorStream } from './chacha.ts';
import { drbg } from './drbg.ts';
import {
  commonhv,
  countingSource,
  type RngOptions,
  type Source,
  type SourceFailure,
  stuckSource,
  systemSource,
} from './index.ts';

const RNG = 0x4000_00a0;
const fillWell = (bytes: Uint8Array<ArrayBuffer>) => void globalThis.crypto.getRandomValues(bytes);
/** Well for the first `draws` draws (the start takes two, the first values one), then as told. */
function failing(name: string, then: (bytes: Uint8Array<ArrayBuffer>) => unknown, draws = 3): Source {
  let left = draws;
  return { name, secure: true, fill: (bytes) => (left-- > 0 ? fillWell(bytes) : (then(bytes) as undefined)) };
}
function start(source: Source, options: Partial<RngOptions> & { draft?: 1 | 2 | 3 } = {}) {
  const failures: SourceFailure[] = [];
  const { draft = 3, ...rng } = options;
  const layer = commonhv({ draft, rng: { source, onFailure: (failure) => failures.push(failure), ...rng } });
  return { cpu: layer(bare), failures };
}
const read = (cpu: ReturnType<typeof start>['cpu'], values: number) =>
  Array.from({ length: values }, () => cpu.rdmsr(RNG) as bigint);

const wrong: readonly [string, (bytes: Uint8Array<ArrayBuffer>) => unknown, SourceFailure['reason']][] = [
  [
    'throws',
    () => {
      throw new Error('the device is gone\nand more');
    },
    'threw',
  ],
  [
    'throws what is no error',
    () => {
      throw null;
    },
    'threw',
  ],
  ['returns a promise', async (bytes) => fillWell(bytes), 'promise'],
  ['returns a promise that rejects', () => Promise.reject(new Error('later')), 'promise'],
  [
    'returns too small a count',
    (bytes) => {
      fillWell(bytes);
      return bytes.length - 1;
    },
    'short',
  ],
  ['returns a smaller array', (bytes) => bytes.subarray(0, 5), 'short'],
  ['leaves the last 40 bytes out', (bytes) => fillWell(bytes.subarray(0, bytes.length - 40)), 'health'],
  ['leaves the last byte out, always', (bytes) => fillWell(bytes.subarray(0, bytes.length - 1)), 'health'],
  [
    'takes the buffer away',
    (bytes) => structuredClone(bytes.buffer, { transfer: [bytes.buffer as ArrayBuffer] }).byteLength,
    'short',
  ],
  ['gives zeros', () => undefined, 'health'],
  ['gives ones', (bytes) => void bytes.fill(255), 'health'],
  [
    'repeats a value',
    (bytes) => {
      fillWell(bytes);
      bytes.copyWithin(16, 8, 16);
    },
    'health',
  ],
  [
    'repeats one buffer for ever',
    (
      (buffer) => (bytes: Uint8Array<ArrayBuffer>) =>
        void bytes.set(buffer.subarray(0, bytes.length))
    )(globalThis.crypto.getRandomValues(new Uint8Array(4104))),
    'health',
  ],
  [
    'counts',
    ((value) => (bytes: Uint8Array<ArrayBuffer>) => {
      const view = new DataView(bytes.buffer);
      for (let i = 0; i < bytes.length; i += 8) view.setBigUint64(i, value++);
    })(2n ** 60n),
    'health',
  ],
];

for (const [what, then, reason] of wrong) {
  test(`a source that ${what}: the owner is told once, and a seeded generator goes on`, () => {
    const { cpu, failures } = start(failing('mine', then), { fallback: 'generator' });
    const values = read(cpu, 6000);
    assert.equal(new Set(values).size, 6000);
    assert.ok(!values.includes(0n));
    assert.equal(failures.length, 1);
    const { detail, ...failure } = failures[0]!;
    assert.deepEqual({ ...failure, cause: 0 }, { reason, source: 'mine', outcome: 'generator', cause: 0 });
    assert.match(detail, /^it .+[^\n]$/);
  });

  test(`a source that ${what}, with fallback stop: the machine ends`, () => {
    const { cpu, failures } = start(failing('mine', then), { fallback: 'stop' });
    const error = /^MachineError: rng\.source: mine failed: it [^\n]+$/;
    assert.throws(() => read(cpu, 6000), error);
    assert.throws(() => cpu.rdmsr(RNG), error);
    assert.deepEqual(
      failures.map(({ outcome }) => outcome),
      ['stopped'],
    );
  });

  test(`a source that ${what}: by default ${reason === 'health' ? 'the machine ends' : 'it goes on'}, and goes on where nothing is stated`, () => {
    const { cpu, failures } = start(failing('mine', then));
    if (reason === 'health') assert.throws(() => read(cpu, 6000), { name: 'MachineError', code: 'source' });
    else read(cpu, 6000);
    assert.deepEqual(
      failures.map(({ outcome }) => outcome),
      [reason === 'health' ? 'stopped' : 'generator'],
    );
    const unstated = start({ ...failing('mine', then), secure: undefined });
    read(unstated.cpu, 6000);
    assert.equal(unstated.failures[0]?.outcome, 'generator');
  });

  // A fault that shows only after some draws cannot show at the start.
  if (/always|for ever/.test(what)) continue;
  test(`a source that ${what} from the start: no RNG under draft 3, an error under drafts 1 and 2`, () => {
    const { cpu, failures } = start(failing('mine', then, 0));
    assert.deepEqual(cpu.cpuid(0x4f00_0002, 0), { eax: 0, ebx: 3, ecx: 0, edx: 0 });
    assert.equal(cpu.cpuid(0x4f00_0000, 0).eax, 0x4f00_0002);
    assert.equal(cpu.rdmsr(RNG), '#GP');
    assert.deepEqual(
      failures.map(({ outcome }) => outcome),
      ['absent'],
    );
    for (const draft of [1, 2] as const) {
      assert.throws(
        () => start(failing('mine', then, 0), { draft }),
        /^MachineError: rng\.source: mine does not work: it /,
      );
    }
  });
}

test('a source that blocks costs one wait, no more', () => {
  let waits = 0;
  const block = (bytes: Uint8Array<ArrayBuffer>) => {
    waits++;
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1100);
    fillWell(bytes);
  };
  const { cpu, failures } = start(failing('slow', block, 2));
  assert.equal(new Set(read(cpu, 2000)).size, 2000);
  assert.equal(waits, 1);
  assert.deepEqual(
    failures.map(({ reason, outcome }) => [reason, outcome]),
    [['slow', 'generator']],
  );
});

test('a failed source that kept the buffer writes to nothing that is served', () => {
  let kept: Uint8Array | undefined;
  const { cpu } = start(
    failing('keeper', (bytes) => {
      kept = bytes;
      return Promise.resolve();
    }),
  );
  read(cpu, 1200);
  kept?.fill(0x11);
  assert.ok(!read(cpu, 1200).includes(0x1111_1111_1111_1111n));
});

test('values after a failure are those of HMAC_DRBG under the seed that the source gave at the start', (t) => {
  t.mock.method(performance, 'now', () => 1); // no value grows old
  const draws: Uint8Array[] = [];
  let left = 3;
  const { cpu } = start({
    name: 'recorded',
    secure: true,
    fill(bytes) {
      if (left-- === 0) throw new Error('gone');
      fillWell(bytes);
      draws.push(bytes.slice());
    },
  });
  // The start-up test, the seed after a head of 8 bytes, and a draw of 8 values; then the generator fills a head and 32 values.
  assert.deepEqual(
    draws.map(({ length }) => length),
    [4104, 56],
  );
  read(cpu, 8);
  assert.equal(draws[2]!.length, 8 + 64);
  const expected = new Uint8Array(8 + 256);
  drbg(draws[1]!.slice(8)).generate(expected);
  const view = new DataView(expected.buffer, 8);
  assert.deepEqual(
    read(cpu, 5),
    Array.from({ length: 5 }, (_, i) => view.getBigUint64(i * 8, true)),
  );
});

test('an owner that throws when told ends the machine, and the next value is good', () => {
  const { cpu } = start(
    failing('mine', () => undefined),
    {
      fallback: 'generator',
      onFailure: () => {
        throw new Error('mine');
      },
    },
  );
  assert.throws(() => read(cpu, 6000), /^Error: mine$/);
  assert.notEqual(cpu.rdmsr(RNG), cpu.rdmsr(RNG));
});

test('an owner whose promise rejects ends the machine at its next access', async () => {
  const { cpu } = start(
    failing('mine', () => undefined),
    { fallback: 'generator', onFailure: async () => Promise.reject(new Error('mine')) },
  );
  read(cpu, 600);
  await new Promise((resolve) => setImmediate(resolve));
  assert.throws(() => cpu.rdmsr(RNG), /^Error: mine$/);
});

test('what was served is wiped from the read-ahead, and the head of each draw is never served', (t) => {
  t.mock.method(performance, 'now', () => 1);
  const buffers: Uint8Array[] = [];
  const heads: bigint[] = [];
  const { cpu } = start({
    name: 'seen',
    secure: true,
    fill(bytes) {
      fillWell(bytes);
      buffers.push(bytes);
      heads.push(new DataView(bytes.buffer).getBigUint64(0, true));
    },
  });
  assert.deepEqual(buffers[0], new Uint8Array(4104), 'the start-up test is thrown away');
  const values = read(cpu, 5);
  const served = buffers.at(-1)!;
  assert.deepEqual(served.subarray(0, 8 + 40), new Uint8Array(48));
  assert.ok(served.subarray(48).some((byte) => byte !== 0));
  assert.ok(heads.every((head) => !values.includes(head)));
});

test('no value is served that is older than a millisecond', () => {
  const drawn = new Map<bigint, number>();
  const { cpu } = start({
    name: 'timed',
    secure: true,
    fill(bytes) {
      const now = performance.now();
      fillWell(bytes);
      const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
      for (let i = 0; i < bytes.length; i += 8) drawn.set(view.getBigUint64(i, true), now);
    },
  });
  let late = 0;
  for (let i = 0; i < 200; i++) {
    const until = performance.now() + Math.random() * 1.5;
    while (performance.now() < until);
    const start = performance.now();
    const age = start - drawn.get(cpu.rdmsr(RNG) as bigint)!;
    if (age > 1) late++;
  }
  assert.equal(late, 0);
});

test('a restore and a changed outer generation throw the read-ahead away', () => {
  const served: Uint8Array[] = [];
  const source: Source = {
    name: 'seen',
    secure: true,
    fill(bytes) {
      fillWell(bytes);
      served.push(bytes.slice());
    },
  };
  let outer = 1n;
  const cpu = commonhv({ rng: { source }, generation: { outer: () => outer } })(bare);
  const fresh = () => {
    const before = served.length;
    const value = cpu.rdmsr(RNG) as bigint;
    return served.slice(before).some((draw) => new DataView(draw.buffer, 8).getBigUint64(0, true) === value);
  };
  assert.ok(fresh());
  cpu.restored?.();
  assert.ok(fresh());
  const generation = cpu.rdmsr(0x4000_00a1);
  outer = 2n;
  assert.ok(fresh());
  assert.notEqual(cpu.rdmsr(0x4000_00a1), generation);
});

test('a source that does not work at a restore refuses the state', () => {
  for (const then of [() => undefined, () => Promise.resolve()]) {
    const cpu = commonhv({ rng: { source: failing('mine', then, 2) } })(bare);
    assert.throws(() => cpu.restored?.(), {
      name: 'MachineError',
      code: 'refused',
      message: /^state: no random source to resume with: rng\.source: mine failed: it /,
    });
  }
});

test('two machines from one options object share no value, nor do two reads', () => {
  const layer = commonhv({ rng: { source: systemSource(), input: 'mix' } });
  const values = [layer(bare), layer(bare), layer(bare)].flatMap((cpu) => read(cpu, 5000));
  assert.equal(new Set(values).size, 15_000);
});

test('deterministic sources serve just their values, and are exempt from the tests', () => {
  assert.deepEqual(
    read(start(countingSource(5n)).cpu, 600),
    Array.from({ length: 600 }, (_, i) => 5n + BigInt(i)),
  );
  assert.deepEqual(read(start(stuckSource()).cpu, 600), Array(600).fill(0n));
  assert.deepEqual(read(start(stuckSource(7n)).cpu, 2), [7n, 7n]);
  const broken: Source = {
    ...stuckSource(),
    fill: () => {
      throw new Error('gone');
    },
  };
  assert.throws(() => read(start(broken).cpu, 1), MachineError);
});

/** A source that gives the same bytes each time it is made, and is no test's: the draws are recorded. */
function replayed(draws: Uint8Array[]): Source {
  const generator = drbg(Uint8Array.from({ length: 48 }, (_, i) => i));
  return {
    name: 'replayed',
    secure: true,
    fill(bytes) {
      generator.generate(bytes);
      draws.push(bytes.slice());
    },
  };
}

test('mix: a served value is the value of the source, xor a stream that its seed and the writes make', (t) => {
  t.mock.method(performance, 'now', () => 1);
  const draws: Uint8Array[] = [];
  const { cpu } = start(replayed(draws), { input: 'mix' });
  cpu.wrmsr(RNG, 0x0123_4567_89ab_cdefn);
  const stream = drbg(draws[2]!.slice(8)); // after the start-up test and the seed of the fallback
  stream.update(Uint8Array.of(0xef, 0xcd, 0xab, 0x89, 0x67, 0x45, 0x23, 0x01));
  const key = new Uint8Array(32);
  stream.generate(key);
  const values = read(cpu, 8);
  const block = new Uint8Array(64);
  xorStream(new Uint32Array(key.buffer), block);
  const [raw, laid] = [new DataView(draws[3]!.buffer, 8), new DataView(block.buffer)];
  for (const [i, value] of values.entries()) {
    assert.equal(value, raw.getBigUint64(i * 8, true) ^ laid.getBigUint64(i * 8, true));
  }
});

test('mix: the very next value after a write depends on it', () => {
  const after = (...writes: bigint[]) => {
    const draws: Uint8Array[] = [];
    const { cpu } = start(replayed(draws), { input: 'mix' });
    read(cpu, 3);
    for (const value of writes) assert.equal(cpu.wrmsr(RNG, value), undefined);
    const value = cpu.rdmsr(RNG) as bigint;
    return value ^ new DataView(draws.at(-1)!.buffer, 8).getBigUint64(0, true);
  };
  assert.equal(after(1n), after(1n));
  assert.equal(new Set([after(1n), after(2n), after(1n, 2n), after(2n, 1n)]).size, 4);
});

test('mix: a guest that writes for ever costs time, not memory', () => {
  const { cpu } = start(systemSource(), { input: 'mix' });
  for (let i = 0; i < 2000; i++) cpu.wrmsr(RNG, 0xffff_ffff_ffff_ffffn);
  const before = process.memoryUsage().arrayBuffers;
  for (let i = 0; i < 5000; i++) cpu.wrmsr(RNG, 0n);
  assert.ok(process.memoryUsage().arrayBuffers - before < 64 * 2 ** 20);
  assert.equal(new Set(read(cpu, 1000)).size, 1000);
});

test('a layer shows neither values nor state to whoever prints it', () => {
  const { cpu } = start(systemSource(), { input: 'mix' });
  assert.equal(JSON.stringify(cpu), '{}');
  assert.ok(Object.values(cpu).every((value) => value === undefined || typeof value === 'function'));
  assert.doesNotMatch(inspect(cpu, { depth: 9, showHidden: true }), /Uint8Array|ArrayBuffer|\d{9}n/);
});

test('on Windows the source is called as it is, OpenSSL’s, and nothing is stated of it', () => {
  const script = `
    Object.defineProperty(process, 'platform', { value: process.argv[1] });
    import(process.argv[2]).then(({ systemSource }) => {
      const { name, secure, fill } = systemSource();
      const bytes = new Uint8Array(200_000);
      fill(bytes);
      console.log(name, secure, bytes.subarray(-64).some((byte) => byte !== 0));
    });`;
  const index = new URL('./index.js', import.meta.url).href;
  const said = (platform: string) =>
    spawnSync(process.execPath, ['-e', script, platform, index], { encoding: 'utf8' }).stdout;
  assert.equal(said('win32'), 'OpenSSL undefined true\n');
  if (process.platform !== 'win32') assert.equal(said(process.platform), 'os true true\n');
});
