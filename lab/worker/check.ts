/** The conformance suite against one machine; its report is plain data that can travel. */
import type { Cpu } from 'commonhv';
import { type MachineControls, type Report, verify } from 'commonhv/conformance';
import { detect } from 'commonhv/guest';
import type { Draft } from 'commonhv/spec';
import { layerOf } from '../model/faulty-layer.ts';
import type { Checked } from '../model/protocol.ts';
import type { Settings } from '../model/settings.ts';
import { type Booted, modelled } from './engine.ts';

/** How long one question may take, in milliseconds: a page's machine may be slow, never this slow. */
const TIMEOUT_MS = 5000;

/**
 * Verifies the running machine by the draft that its hypervisor was made for: pauses it, restores its own saved state in
 * place, and has it resumed as another machine, which `copy` makes and asks and this ends.
 */
export async function checked(
  cpu: Cpu,
  draft: Draft,
  machine: Booted,
  copy: (state: Uint8Array) => Promise<{ readonly machine: Booted; readonly cpu: Cpu }>,
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
      const { machine: resumed, cpu: asked } = await copy(await saved());
      copies.push(resumed);
      return asked;
    },
  };
  try {
    return await verify(cpu, { draft, timeoutMs: TIMEOUT_MS, ...controls });
  } finally {
    for (const resumed of copies) await resumed.close();
  }
}

/** The same suite and the guest's discovery against a new hypervisor of the settings, without a guest: milliseconds, not a second. */
export async function checkedDirectly(settings: Settings): Promise<Checked> {
  const layer = layerOf(settings);
  const machine = await modelled.start(layer, { kernel: new Uint8Array(0) });
  const cpu = machine.cpu!;
  const detection = await detect(cpu);
  const copy = async (state: Uint8Array) => {
    const resumed = await modelled.resume(layer, state);
    return { machine: resumed, cpu: resumed.cpu! };
  };
  return { detection, report: await checked(cpu, settings.draft, machine, copy) };
}
