import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { ring, ringBuffer } from './ring.ts';

test('what is put is taken, in order, and no more than fits is put', () => {
  const steps = fc.array(
    fc.oneof(
      fc.integer({ min: 0, max: 255 }),
      fc.constant('take' as const),
      fc.integer({ min: 256, max: 300 }),
    ),
  );
  fc.assert(
    fc.property(steps, (list) => {
      const buffer = ringBuffer(8);
      const [near, far] = [ring(buffer), ring(buffer)];
      const model: number[] = [];
      for (const step of list) {
        if (step === 'take') assert.equal(far.take(), model.shift());
        else if (step > 255) assert.deepEqual([...far.takeAll(step - 256)], model.splice(0, step - 256));
        else {
          assert.equal(near.put(step), model.length < 8);
          if (model.length < 8) model.push(step);
        }
        assert.equal(near.size(), model.length);
      }
    }),
  );
});

test('positions count past 2^32', () => {
  const buffer = ringBuffer(8);
  new Int32Array(buffer).fill(-2, 0, 2);
  const both = ring(buffer);
  for (const byte of [1, 2, 3, 4]) assert.ok(both.put(byte));
  assert.equal(both.size(), 4);
  assert.deepEqual([...both.takeAll(9)], [1, 2, 3, 4]);
});

test('a flag is raised once until it is lowered, and waits end by themselves', () => {
  const both = ring(ringBuffer(8));
  assert.deepEqual(
    [both.raise('rung'), both.raise('rung'), both.lower('rung'), both.lower('rung')],
    [true, false, true, false],
  );
  assert.deepEqual([both.raise('wanted'), both.lower('rung')], [true, false]);
  both.awaitByte(1);
  both.awaitRoom(1000); // there is room: no wait
});
