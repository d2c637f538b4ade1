/** The stage at CPL 3: the registers answer nobody there. */
import { type Cpu, hex } from '../../cpu.ts';
import { shown } from '../answers.ts';
import { evidenceOf, stage } from '../evidence.ts';
import type { Implementation, Register } from '../implementation.ts';
import { pageStage } from './page.ts';
import { stillRandom, watchOf } from './reads.ts';
import { mayWrite } from './writes.ts';

export const privilegeStage = stage(pageStage, async (implementation) => {
  const { rng, generation, page, machine } = implementation;
  if (implementation.draft !== 3 || machine.ring3.length === 0) return;
  for (const [cpu, asked] of machine.ring3.entries())
    for (const register of [rng, generation, page])
      if (register !== undefined) await unanswered(implementation, asked, register, cpu);
  await watchOf(implementation)?.check('code at CPL 3 asked');
  await stillRandom(implementation);
});

/** RDMSR and WRMSR of one register raise #GP, and the write changes nothing. */
async function unanswered(
  implementation: Implementation,
  ring3: Cpu,
  register: Register,
  cpu: number,
): Promise<void> {
  const { rng, generation, machine } = implementation;
  const evidence = evidenceOf(implementation);
  const name = `${hex(register.msr)} at CPL 3, CPU ${cpu}`;
  const value = await ring3.rdmsr(register.msr);
  evidence.expect(
    'msrs.privilege',
    value === '#GP',
    () => `RDMSR ${name}: expected #GP, got ${shown(value)}`,
  );
  if (register === rng && !mayWrite(implementation)) return;
  const before = register === rng ? undefined : await machine.cpus[0].rdmsr(register.msr);
  // The generation: one that would be acknowledged, and another value, which must not be stored.
  const last = watchOf(implementation)?.last ?? 0n;
  for (const written of register === generation ? [last, last ^ 5n] : [0n]) {
    const fault = await ring3.wrmsr(register.msr, written);
    evidence.expect(
      'msrs.privilege',
      fault === '#GP',
      () => `WRMSR ${name}: expected #GP, got ${shown(fault)}`,
    );
    const after = register === rng ? undefined : await machine.cpus[0].rdmsr(register.msr);
    evidence.expect(
      'msrs.privilege',
      before === after || (register === generation && after !== written),
      () => `WRMSR ${name}: expected nothing to change, got ${shown(after)} in the register`,
    );
  }
}
