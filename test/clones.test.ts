/** Copies of a machine: no two ever read the same word, and a saved state holds nothing that words are made from. */
import assert from 'node:assert/strict';
import { createCipheriv, createHmac } from 'node:crypto';
import { once } from 'node:events';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import type { Machine } from 'commonhv';
import { v86 } from 'commonhv/engines/v86';
import { commonhv, type Source, systemGeneration, systemSource } from 'commonhv/hypervisor';
import { kernel, RECEIVE_AL, SEND_AL, u32 } from './support/guests.ts';
import { scaled } from './support/time.ts';

const limit = { timeout: scaled(60_000) };
const engine = v86({ memory: 4 * 2 ** 20 });
const BUFFER = 0x20_0000;
const WORDS = 64;

/** For each byte from the line: WRMSR of the RNG, the generation and 64 words into memory, and all of that to the line. */
const asking = (() => {
  const setUp = [0xbf, ...u32(BUFFER), 0xbe, ...u32(WORDS)]; // mov edi, BUFFER; mov esi, WORDS
  const store = [0x89, 0x07, 0x89, 0x57, 0x04, 0x83, 0xc7, 0x08]; // mov [edi], eax; mov [edi+4], edx; add edi, 8
  const generation = [0xb9, ...u32(0x4000_00a1), 0x0f, 0x32, ...store]; // mov ecx, ...; rdmsr
  const rng = [0xb9, ...u32(0x4000_00a0), 0xb8, ...u32(0x1234_5678), 0x99, 0x0f, 0x30]; // mov eax, ...; cdq; wrmsr
  const word = [0x0f, 0x32, ...store, 0x4e]; // rdmsr; dec esi
  const words = [...word, 0x75, -word.length - 2]; // jnz
  const sendOne = [0xac, ...SEND_AL, 0x49]; // lodsb; send; dec ecx
  const sendAll = [
    0xbe,
    ...u32(BUFFER),
    0xb9,
    ...u32(8 * (WORDS + 1)),
    ...sendOne,
    0x75,
    -sendOne.length - 2,
  ];
  const body = [...RECEIVE_AL, ...setUp, ...generation, ...rng, ...words, ...sendAll];
  return kernel([...body, 0xe9, ...u32(-body.length - 5)]); // jmp
})();

async function ask(machine: Machine): Promise<{ generation: bigint; words: bigint[]; bytes: Uint8Array }> {
  const writer = machine.console.writable.getWriter();
  await writer.write(Uint8Array.of(1));
  writer.releaseLock();
  const bytes = new Uint8Array(8 * (WORDS + 1));
  const reader = machine.console.readable.getReader();
  for (let at = 0; at < bytes.length; ) {
    const { value, done } = await reader.read();
    assert.ok(!done, 'the guest goes on');
    bytes.set(value, at);
    at += value.length;
  }
  reader.releaseLock();
  const [generation, ...words] = new BigUint64Array(bytes.buffer);
  return { generation: generation!, words, bytes };
}

const options = (source: Source, input: 'none' | 'ignore' | 'mix') => ({
  rng: { source, input },
  generation: { next: systemGeneration() },
});

test(
  'a machine resumed twice from one saved state, and put back in place, never reads the same word',
  limit,
  async () => {
    for (const input of ['ignore', 'mix'] as const) {
      // One options object and one layer for all of them.
      const layer = commonhv(options(systemSource(), input));
      const machine = await engine.start(layer, { kernel: asking });
      const answers = [await ask(machine)];
      const state = await machine.save!();
      answers.push(await ask(machine));
      assert.equal(answers[0]!.generation, answers[1]!.generation, 'saving changes nothing');
      const copies = await Promise.all([1, 2, 3].map(() => engine.resume(layer, state)));
      for (const copy of copies) answers.push(await ask(copy));
      await machine.restore!(state);
      answers.push(await ask(machine));
      const other = await engine.start(layer, { kernel: asking });
      answers.push(await ask(other));
      for (const each of [machine, other, ...copies]) await each.close();
      const words = answers.flatMap((answer) => answer.words);
      assert.equal(new Set(words).size, 7 * WORDS);
      assert.equal(new Set(answers.map(({ generation }) => generation)).size, 6);
    }
  },
);

test(
  'layers from the same options in several worker threads share no word and no generation',
  limit,
  async () => {
    const code = `Promise.all([import('commonhv'), import('commonhv/hypervisor')]).then(([{ bare }, { fromConfig }]) => {
    const cpu = fromConfig({ rng: { source: 'os', input: 'mix' }, generation: {} })(bare);
    const words = Array.from({ length: 1000 }, () => cpu.rdmsr(0x400000a0));
    require('node:worker_threads').parentPort.postMessage([cpu.rdmsr(0x400000a1), ...words]);
  })`;
    const answer = async () => ((await once(new Worker(code, { eval: true }), 'message')) as [bigint[]])[0];
    const answers = await Promise.all([answer(), answer(), answer()]);
    assert.equal(new Set(answers.flat()).size, 3 * 1001);
  },
);

test('a saved state holds no byte that was read ahead, no seed and no state of mixing', limit, async () => {
  for (const input of ['ignore', 'mix'] as const) {
    const draws: Uint8Array[] = [];
    const os = systemSource();
    const source: Source = {
      ...os,
      fill(bytes) {
        os.fill(bytes);
        draws.push(bytes.slice());
      },
    };
    const machine = await engine.start(commonhv(options(source, input)), { kernel: asking });
    const before = await ask(machine);
    const state = await machine.save!();
    const after = await ask(machine);
    await machine.close();
    // The search finds what is there: the words that the guest keeps in its memory.
    assert.equal(holds(state, [before.bytes.subarray(8)]), 8 * WORDS - 7);
    const seeds = draws.filter(({ length }) => length === 56).map((draw) => draw.subarray(8));
    assert.equal(seeds.length, input === 'mix' ? 2 : 1);
    const served = new Set([...before.words, ...after.words]);
    // All that was drawn, but for values that were served as they came, of which the guest keeps the first 64.
    const secrets = draws.flatMap((draw) =>
      Array.from({ length: draw.length / 8 }, (_, i) => draw.subarray(8 * i, 8 * i + 8)),
    );
    const hidden = secrets.filter(
      (bytes) => !served.has(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true)),
    );
    hidden.push(...seeds, after.bytes.subarray(8));
    if (input === 'mix') {
      const first = draws[draws.findIndex(({ length }) => length === 56) + 2]!;
      hidden.push(...mixing(seeds[1]!, before.words, first.subarray(8)));
    }
    assert.equal(holds(state, hidden), 0);
  }
});

/** In how many places a state holds 8 neighbouring bytes of any secret. */
function holds(state: Uint8Array, secrets: readonly Uint8Array[]): number {
  const start = new Uint8Array(2 ** 24); // by the first three bytes, so that most places cost one look
  const key = (bytes: Uint8Array, at: number) => bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16);
  const wanted = new Set<string>();
  for (const secret of secrets) {
    for (let at = 0; at + 8 <= secret.length; at++) {
      start[key(secret, at)] = 1;
      wanted.add(String.fromCharCode(...secret.subarray(at, at + 8)));
    }
  }
  let places = 0;
  for (let at = 0; at + 8 <= state.length; at++) {
    if (start[key(state, at)] === 0) continue;
    if (wanted.has(String.fromCharCode(...state.subarray(at, at + 8)))) places++;
  }
  return places;
}

/** HMAC_DRBG as the guest's one write and some 40 blocks leave it: keys, values, and the first block's stream. */
function mixing(seed: Uint8Array, words: readonly bigint[], raw: Uint8Array): Uint8Array[] {
  let key = Buffer.alloc(32);
  let value = Buffer.alloc(32, 1);
  const mac = (...parts: Uint8Array[]) => createHmac('sha256', key).update(Buffer.concat(parts)).digest();
  const update = (data: Uint8Array) => {
    for (const round of data.length > 0 ? [0, 1] : [0]) {
      key = mac(value, Uint8Array.of(round), data);
      value = mac(value);
    }
  };
  const states: Buffer[] = [];
  update(seed);
  states.push(key, value);
  update(Uint8Array.of(0x78, 0x56, 0x34, 0x12, 0, 0, 0, 0));
  states.push(key, value);
  const keys: Buffer[] = [];
  for (let block = 0; block < 40; block++) {
    value = mac(value);
    keys.push(value);
    update(new Uint8Array(0));
    states.push(key, value);
  }
  // That this is the layer's computation, the values themselves say: at least the first of a block is always served.
  const stream = createCipheriv('chacha20', keys[0]!, Buffer.alloc(16)).update(Buffer.alloc(raw.length));
  const view = (bytes: Uint8Array, i: number) =>
    new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(8 * i, true);
  assert.equal(words[0], view(raw, 0) ^ view(stream, 0));
  return [...states, ...keys, stream];
}
