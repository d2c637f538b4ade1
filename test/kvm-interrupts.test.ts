/** A guest that lives by interrupts on KVM: entered as Linux is, it prints its command line, ticks, echoes and halts. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { kvm } from 'commonhv/engines/kvm';
import { skip } from './support/kvm-availability.ts';
import { TICKER, Ticker } from './support/kvm-ticker.ts';
import { scaled } from './support/time.ts';

for (const vcpus of [1, 2]) {
  test(`interrupts reach a guest on ${vcpus} vCPUs: the timer's, and the line's`, {
    skip,
    timeout: scaled(30_000),
  }, async () => {
    const machine = await kvm({ memory: 16 * 2 ** 20, vcpus }).start((host) => host, TICKER);
    try {
      assert.equal(machine.consoles.length, 1);
      const guest = new Ticker(machine);
      await guest.until('hello, ttt');
      for (const [i, letter] of [...'echo'].entries()) {
        await guest.send(letter);
        await guest.until(`hello, ttt${'echo'.slice(0, i + 1)}`);
      }
      await guest.send('q');
      assert.deepEqual(await machine.ended, { reason: 'halt', detail: 'HLT with interrupts off' });
    } finally {
      await machine.close();
    }
  });
}
