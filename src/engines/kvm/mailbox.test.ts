import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type Answers, answering, asking, mailbox, OVER } from './mailbox.ts';

test('questions and answers arrive as they are, whatever their bits', () => {
  const heard: unknown[] = [];
  let reply: bigint | '#GP' | undefined;
  const there: Answers = {
    in(port, size) {
      heard.push(['in', port, size]);
      return Number(reply);
    },
    out: (port, size, value) => void heard.push(['out', port, size, value]),
    rdmsr(index) {
      heard.push(['rdmsr', index]);
      return reply ?? 0n;
    },
    wrmsr(index, value) {
      heard.push(['wrmsr', index, value]);
      return reply === '#GP' ? '#GP' : undefined;
    },
  };
  const box = mailbox();
  // Here both ends are one thread: the bell answers at once.
  const here = asking(box, answering(box, there), () => false);
  const u32 = fc.integer({ min: 0, max: 0xffff_ffff });
  const u64 = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
  fc.assert(
    fc.property(u32, u64, u32, fc.boolean(), (index, value, number, faults) => {
      heard.length = 0;
      reply = faults ? '#GP' : value;
      assert.equal(here.rdmsr(index), reply);
      assert.equal(here.wrmsr(index, value), faults ? '#GP' : undefined);
      reply = BigInt(number);
      assert.equal(here.in(0xffff, 4), number);
      here.out(0x3f8, 1, number);
      assert.deepEqual(heard, [
        ['rdmsr', index],
        ['wrmsr', index, value],
        ['in', 0xffff, 4],
        ['out', 0x3f8, 1, number],
      ]);
    }),
  );
});

test('an empty box is no question, and nobody waits for a machine that is over', () => {
  const box = mailbox();
  const none = {} as Answers;
  answering(box, none)();
  let looks = 0;
  const here = asking(
    box,
    () => {},
    () => ++looks > 2,
  );
  assert.throws(
    () => here.rdmsr(1),
    (thrown) => thrown === OVER,
  );
});
