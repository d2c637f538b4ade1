/** The conformance suite against one machine; its report is plain data that can travel. */
import type { Cpu } from 'commonhv';
import { type MachineControls, type Report, verify } from 'commonhv/conformance';
import type { Draft } from 'commonhv/spec';
import type { Booted } from '../machine/engine.ts';

/** How long one question may take, in milliseconds: a page's machine may be slow, never this slow. */
const TIMEOUT_MS = 5000;

/**
 * Verifies the running machine by the draft that its hypervisor was made for: pauses it, restores its own saved state in
 * place, and has it resumed as another machine, which `revive` makes and asks and this ends.
 */
export async function checked(
  cpu: Cpu,
  draft: Draft,
  machine: Booted,
  revive: (state: Uint8Array) => Promise<{ readonly machine: Booted; readonly cpu: Cpu }>,
): Promise<Report> {
  const copies: Booted[] = [];
  let state: Uint8Array | undefined;
  const saved = async () => {
    state ??= await machine.save();
    return state;
  };
  const controls: MachineControls = {
    async pause() {
      await machine.pause();
      await machine.unpause();
    },
    async restore() {
      await machine.restore(await saved());
    },
    async resume() {
      const copy = await revive(await saved());
      copies.push(copy.machine);
      return copy.cpu;
    },
  };
  try {
    return await verify(cpu, { draft, timeoutMs: TIMEOUT_MS, ...controls });
  } finally {
    for (const copy of copies) await copy.close();
  }
}
