/** Layers that the KVM engine builds in a machine's own thread, by name. */
import type { Layer } from 'commonhv';
import { commonhv, systemSource } from 'commonhv/hypervisor';

export const url = import.meta.url;

/** CommonHV with the operating system's words. */
export const real = (): Layer => commonhv({ rng: { source: systemSource() } });

/** The same leaves, and a register that answers at no cost. */
export const constant = (): Layer => (below) => {
  const cpu = real()(below);
  return { ...cpu, rdmsr: () => 0x0123_4567_89ab_cdefn };
};
