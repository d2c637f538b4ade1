import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { caller, type ExitHandler, MachineOver, mailbox, serve } from './rpc.ts';

test('calls and results keep all of their bits', () => {
  const heard: unknown[] = [];
  let reply: bigint | '#GP' | undefined;
  const there: ExitHandler = {
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
  // Both ends are one thread: the notification serves at once.
  const here = caller(box, serve(box, there), () => false);
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

test('an empty mailbox is no call, and a call ends when the machine does', () => {
  const box = mailbox();
  const none = {} as ExitHandler;
  serve(box, none)();
  let polls = 0;
  const here = caller(
    box,
    () => {},
    () => ++polls > 2,
  );
  assert.throws(
    () => here.rdmsr(1),
    (thrown) => thrown instanceof MachineOver,
  );
});
