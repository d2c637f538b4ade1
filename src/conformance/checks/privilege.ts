/** The stage at CPL 3: the registers answer nobody there. */
import { hex } from '../../cpu.ts';
import { shown } from '../answers.ts';
import { evidenceOf, stage } from '../evidence.ts';
import { pageStage } from './page.ts';
import { watchOf } from './reads.ts';
import { mayWrite } from './writes.ts';

export const privilegeStage = stage(pageStage, async (implementation) => {
  const { rng, generation, page, machine } = implementation;
  if (implementation.draft !== 3) return;
  const evidence = evidenceOf(implementation);
  const watch = watchOf(implementation);
  for (const [cpu, asked] of machine.ring3.entries()) {
    for (const register of [rng, generation, page]) {
      if (register === undefined) continue;
      const name = `${hex(register.msr)} at CPL 3, CPU ${cpu}`;
      const value = await asked.rdmsr(register.msr);
      evidence.expect(
        'msrs.privilege',
        value === '#GP',
        () => `RDMSR ${name}: expected #GP, got ${shown(value)}`,
      );
      const written = register === generation ? (watch?.last ?? 0n) : 0n;
      if (register === rng && !mayWrite(implementation)) continue;
      const before = page === undefined ? undefined : await machine.cpus[0].rdmsr(page.msr);
      const fault = await asked.wrmsr(register.msr, written);
      evidence.expect(
        'msrs.privilege',
        fault === '#GP',
        () => `WRMSR ${name}: expected #GP, got ${shown(fault)}`,
      );
      const after = page === undefined ? undefined : await machine.cpus[0].rdmsr(page.msr);
      evidence.expect(
        'msrs.privilege',
        before === after,
        () => `WRMSR ${name}: expected nothing to change, got ${shown(after)} in the page's register`,
      );
    }
  }
  if (machine.ring3.length > 0) await watch?.check('code at CPL 3 asked', 'msrs.privilege');
});
