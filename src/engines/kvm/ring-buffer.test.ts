import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { RingBuffer } from './ring-buffer.ts';

test('bytes come out in the order in which they were put, and none is put into a full ring', () => {
  const steps = fc.array(
    fc.oneof(
      fc.integer({ min: 0, max: 255 }),
      fc.constant('take' as const),
      fc.integer({ min: 256, max: 300 }),
    ),
  );
  fc.assert(
    fc.property(steps, (list) => {
      const buffer = RingBuffer.allocate(8);
      const [near, far] = [new RingBuffer(buffer), new RingBuffer(buffer)];
      const model: number[] = [];
      for (const step of list) {
        if (step === 'take') assert.equal(far.take(), model.shift());
        else if (step > 255) assert.deepEqual([...far.takeAll(step - 256)], model.splice(0, step - 256));
        else {
          assert.equal(near.put(step), model.length < 8);
          if (model.length < 8) model.push(step);
        }
        assert.equal(near.size, model.length);
      }
    }),
  );
});

test('positions count past 2^32', () => {
  const buffer = RingBuffer.allocate(8);
  new Int32Array(buffer).fill(-2, 0, 2);
  const both = new RingBuffer(buffer);
  for (const byte of [1, 2, 3, 4]) assert.ok(both.put(byte));
  assert.equal(both.size, 4);
  assert.deepEqual([...both.peek()], [1, 2, 3, 4]);
  assert.deepEqual([...both.takeAll(9)], [1, 2, 3, 4]);
});

test('a flag is raised once until it is lowered, and waits are bounded', () => {
  const both = new RingBuffer(RingBuffer.allocate(8));
  assert.deepEqual(
    [both.raise('notified'), both.raise('notified'), both.lower('notified'), both.lower('notified')],
    [true, false, true, false],
  );
  assert.deepEqual([both.raise('waiting'), both.lower('notified')], [true, false]);
  both.waitForByte(1);
  both.waitForRoom(1000); // there is room: no wait
});
