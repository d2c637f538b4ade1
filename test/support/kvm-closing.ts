/** How soon machines on KVM are closed. */
import assert from 'node:assert/strict';
import type { KvmMachine } from 'commonhv/engines/kvm';
import { median } from '../../bench/figure.ts';

/**
 * Starts a machine, closes it, starts the next. Fails unless the median of the closings is under 100 ms: a computer that is
 * busy with other things may hold one of them up.
 */
export async function closeSoon(starts: readonly (() => Promise<KvmMachine>)[]): Promise<void> {
  const times: number[] = [];
  for (const start of starts) {
    const machine = await start();
    const before = performance.now();
    await Promise.all([machine.close(), machine.close()]);
    times.push(performance.now() - before);
    assert.deepEqual(await machine.ended, { reason: 'closed' });
  }
  assert.ok(median(times) < 100, `${times.map(Math.round).join(', ')} ms`);
}
