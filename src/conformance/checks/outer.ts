/** The outer hypervisor's generation changes: the machine in which the implementation under test runs was copied, and it with it. */
import { hex } from '../../cpu.ts';
import { shown } from '../answers.ts';
import { evidenceOf } from '../evidence.ts';
import type { Implementation } from '../implementation.ts';
import { Copy } from './copy.ts';
import { pageKept, prepare } from './prepare.ts';
import { watchOf } from './reads.ts';

/** A mistake may show only at the second change. */
const TIMES = 2;

/** The generations that followed those of the outer hypervisor; none where the control is missing. */
export async function renewOuter(implementation: Implementation): Promise<readonly bigint[]> {
  const { controls, generation, machine } = implementation;
  const watch = watchOf(implementation);
  const renewed: bigint[] = [];
  if (generation === undefined || watch === undefined || !controls.has('renewOuter')) return renewed;
  for (let turn = 0; turn < TIMES; turn++) {
    await prepare(implementation, 'first');
    const before = await watch.update('a page was enabled');
    await controls.renewOuter();
    const cause = `change ${turn + 1} of the outer generation`;
    const copy = new Copy(implementation, machine, `the machine after ${cause}`, 'other', turn);
    const value = await copy.generation(undefined);
    if (value === undefined || before === undefined) continue;
    evidenceOf(implementation).expect(
      'nesting.renew',
      value !== before,
      () => `RDMSR ${hex(generation.msr)} after ${cause}: expected another value than ${shown(before)}`,
    );
    watch.last = value;
    if (value !== before) renewed.push(value);
    await pageKept(implementation, `after ${cause}`, 'page.renewed');
    await copy.leaves('discovery.restored');
    await copy.values();
    await watch.check('random values were read');
    await copy.writes(before, watch.last);
  }
  return renewed;
}
