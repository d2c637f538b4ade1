/** overSerial: against a peer that speaks the probe's protocol, and against peers that do not. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Console, Regs } from '../cpu.ts';
import { MachineError } from '../cpu.ts';
import { overSerial } from './serial.ts';

/** For peers that answer: no limit that a busy machine could meet. */
const quick = { greetingTimeout: 30_000, answerTimeout: 30_000, pokeIntervalMs: 50 };
/** For peers that do not. */
const silent = { greetingTimeout: 300, answerTimeout: 60, pokeIntervalMs: 50 };

/** A console whose far end is a function from a line to its answer, in pieces of `size` bytes. */
function peer(answer: (line: string) => string, { hello = '', size = 1000 } = {}): Console {
  let out: ReadableStreamDefaultController<Uint8Array>;
  const say = (text: string): void => {
    for (let i = 0; i < text.length; i += size)
      out.enqueue(new TextEncoder().encode(text.slice(i, i + size)));
  };
  let typed = '';
  return {
    readable: new ReadableStream({
      start(controller) {
        out = controller;
        say(hello);
      },
    }),
    writable: new WritableStream({
      write(bytes) {
        typed += new TextDecoder().decode(bytes);
        for (let end = typed.indexOf('\n'); end >= 0; end = typed.indexOf('\n')) {
          const line = typed.slice(0, end);
          typed = typed.slice(end + 1);
          if (line !== '') say(answer(line));
        }
      },
    }),
  };
}

const regs: Regs = { eax: 0x8000_0001, ebx: 0xffff_ffff, ecx: 0, edx: 0x1234_5678 };

function right(line: string): string {
  if (line === 'c 4f000001 00000002') return 'c 80000001 ffffffff 00000000 12345678\r\n';
  if (line === 'r 400000a0') return 'r fedcba98 76543210\r\n';
  if (line === 'r 00000001') return 'r #gp\r\n';
  if (line === 'w 400000a0 fedcba98 76543210') return 'w\r\n';
  if (line.startsWith('w ')) return 'w #gp\r\n';
  if (line.startsWith('c ')) return 'c #ud\r\n';
  if (line === 'q') return 'q\n';
  return 'commonhv probe 2, 32-bit\r\n';
}

for (const size of [1, 7, 1000]) {
  test(`answers arrive whole when the line brings ${size} bytes at a time`, async () => {
    const cpu = await overSerial(peer(right, { hello: 'commonhv probe 2, 32-bit\r\n', size }), quick);
    assert.deepEqual(await cpu.cpuid(0x4f00_0001, 2), regs);
    assert.equal(await cpu.rdmsr(0x4000_00a0), 0xfedc_ba98_7654_3210n);
    assert.equal(await cpu.rdmsr(1), '#GP');
    assert.equal(await cpu.wrmsr(0x4000_00a0, 0xfedc_ba98_7654_3210n), undefined);
    assert.equal(await cpu.wrmsr(1, 0n), '#GP');
    await assert.rejects(async () => cpu.cpuid(1, 0), /CPUID raised #UD/);
    await cpu.quit();
  });
}

test('calls that overlap are asked one after another', async () => {
  const cpu = await overSerial(peer(right, { hello: 'commonhv probe 2, 32-bit\r\n' }), quick);
  const answers = await Promise.all([cpu.rdmsr(0x4000_00a0), cpu.rdmsr(1), cpu.cpuid(0x4f00_0001, 2)]);
  assert.deepEqual(answers, [0xfedc_ba98_7654_3210n, '#GP', regs]);
});

test('a probe that greeted before anybody listened is asked again', async () => {
  const cpu = await overSerial(peer(right), quick);
  assert.equal(await cpu.rdmsr(1), '#GP');
});

test('firmware noise before the greeting and between answers is skipped', async () => {
  const noisy = peer((line) => `[ 0.1] noise\r\nc 1 2\r\nr zzzzzzzz 00000000\r\n${right(line)}`, {
    hello: 'SeaBIOS\x1b[2J\r\niPXE commonhv probe 2, 32-bit\r\n',
  });
  const cpu = await overSerial(noisy, quick);
  assert.equal(await cpu.rdmsr(0x4000_00a0), 0xfedc_ba98_7654_3210n);
});

test('8 MiB of noise before the greeting and in front of answers do no harm', async () => {
  const noise = 'firmware talks\r\n'.repeat(2 ** 19);
  const cpu = await overSerial(
    peer((line) => `${noise}and stops in a line: ${right(line)}`, {
      hello: `${noise}${'x'.repeat(2 ** 20)}commonhv probe 2, 32-bit\r\n`,
      size: 65_536,
    }),
    quick,
  );
  assert.equal(await cpu.rdmsr(0x4000_00a0), 0xfedc_ba98_7654_3210n);
  assert.equal(await cpu.rdmsr(1), '#GP');
});

test('each mode has words of its own, and its greeting says which there are', async () => {
  const asked: string[] = [];
  const said = (line: string): string => {
    asked.push(line);
    const [word] = line.split(' ');
    if (word!.toLowerCase().startsWith('c')) return `${word} 00000001 00000002 00000003 00000004\r\n`;
    return word === 'R3' ? 'R3 #vc\r\n' : word === 'r3' ? 'r3 #gp\r\n' : `${word} 00000000 00000005\r\n`;
  };
  const wide = await overSerial(peer(said, { hello: 'commonhv probe 2, 64-bit\r\n' }), quick);
  assert.deepEqual(
    wide.modes.map(({ cpl, bits }) => `${cpl} ${bits}`),
    ['0 64', '3 64', '0 32', '3 32'],
  );
  const outcomes: unknown[] = [];
  for (const mode of wide.modes) {
    const cpu = wide.inMode(mode);
    await cpu.cpuid(1, 0);
    outcomes.push(await cpu.rdmsr(16));
  }
  assert.deepEqual(outcomes, [5n, '#VC', 5n, '#GP']);
  const words = asked.map((line) => line.split(' ')[0]);
  assert.deepEqual(words, ['C', 'R', 'C3', 'R3', 'c', 'r', 'c3', 'r3']);
  const first = await overSerial(peer(right, { hello: 'commonhv probe 1\r\n' }), quick);
  assert.deepEqual(first.modes, [{ cpl: 0, bits: 32 }]); // the image before this one
});

test('an exception of another kind is a MachineError that names it and the mode', async () => {
  const cpu = await overSerial(
    peer(() => 'r3 #pf\r\n', { hello: 'commonhv probe 2, 32-bit\r\n' }),
    quick,
  );
  await assert.rejects(
    async () => cpu.inMode({ cpl: 3, bits: 32 }).rdmsr(1),
    /RDMSR raised #PF in the guest \(CPL 3, 32-bit\)/,
  );
});

test('a peer that is silent, stops in a line, floods or goes away is a MachineError in bounded time', async () => {
  await assert.rejects(
    overSerial(
      peer(() => ''),
      silent,
    ),
    /no greeting from the probe guest: .* within 300 ms/,
  );
  await assert.rejects(
    overSerial(
      peer(() => 'x'.repeat(1 << 20)),
      silent,
    ),
    /no answer within 300 ms; it stopped in the middle of "x{60}"/,
  );
  // Bytes that are always there: no timer gets its turn.
  const flood = {
    ...peer(() => ''),
    readable: new ReadableStream<Uint8Array>({ pull: (c) => c.enqueue(new Uint8Array(999)) }),
  };
  await assert.rejects(overSerial(flood, silent), /no answer within 300 ms/);
  const gone = { ...peer(() => ''), readable: new ReadableStream<Uint8Array>({ start: (c) => c.close() }) };
  await assert.rejects(overSerial(gone, silent), /serial line ended/);
  const stops = await overSerial(
    peer((line) => right(line).slice(0, 5), { hello: 'commonhv probe 2, 32-bit\n' }),
    { ...silent, greetingTimeout: 30_000 },
  );
  await assert.rejects(
    async () => stops.cpuid(0x4f00_0001, 2),
    (error: unknown) => {
      assert.ok(error instanceof MachineError);
      assert.match(error.message, /stopped in the middle of "c 800"/);
      return true;
    },
  );
  await assert.rejects(async () => stops.rdmsr(1), MachineError); // once broken, broken at once
});

test('random bytes for answers never throw anything but a MachineError', async () => {
  await fc.assert(
    fc.asyncProperty(fc.string({ unit: 'binary' }), async (garbage) => {
      const cpu = await overSerial(
        peer(() => `${garbage}\n`, { hello: 'commonhv probe 2, 32-bit\n' }),
        {
          ...quick,
          answerTimeout: 2,
        },
      );
      await assert.rejects(async () => cpu.rdmsr(0x10), MachineError);
    }),
    { numRuns: 50 },
  );
});

test('what is no leaf, index or value is a RangeError before anything is sent', async () => {
  const cpu = await overSerial(peer(right, { hello: 'commonhv probe 2, 32-bit\r\n' }), quick);
  await assert.rejects(
    async () => cpu.cpuid(-1, 0),
    /leaf: expected an integer from 0 to 0xffffffff, got -1/,
  );
  await assert.rejects(async () => cpu.wrmsr(0, 1n << 64n), RangeError);
  assert.throws(() => cpu.rdmsr(2 ** 32), RangeError);
});
