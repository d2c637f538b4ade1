/** Layers that the KVM engine builds in a machine's own thread, by name. */
import type { Layer } from 'commonhv';
import { commonhv, systemSource } from 'commonhv/hypervisor';

export const url = import.meta.url;

/** CommonHV with the operating system's words. */
export const real = (): Layer => commonhv({ rng: { source: systemSource() } });

/** An MSR that answers at no cost, beside the RNG. */
export const CONSTANT = 0x4000_00c0;
export const both = (): Layer => (host) => {
  const cpu = real()(host);
  return { ...cpu, rdmsr: (index) => (index === CONSTANT ? 0x0123_4567_89ab_cdefn : cpu.rdmsr(index)) };
};
