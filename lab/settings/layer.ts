/** The hypervisor that the settings describe, as the library's own options, and why it cannot be had. */
import { bare, type Layer } from 'commonhv';
import { type Config, fromConfig } from 'commonhv/hypervisor';
import { faultyNamed } from './faulty.ts';
import type { Settings } from './settings.ts';

export function dataOf(settings: Settings): Config {
  const { draft, hypervisorBit, interfaces, preferred, source, input } = settings;
  return {
    draft,
    hypervisorBit,
    interfaces,
    ...(draft === 3 && preferred > 0 ? { preferred } : {}),
    ...(settings.rng ? { rng: { msr: settings.rngMsr, source, input } } : {}),
    ...(draft === 3 && settings.generation ? { generation: { msr: settings.generationMsr } } : {}),
  };
}

/**
 * A new machine's layer; throws a TypeError or RangeError with one line where the settings contradict. For a machine that
 * was saved, `before` is the generation that it had: some faulty hypervisors keep it, and each copy has a layer of its own.
 */
export function layerOf(settings: Settings, before?: bigint): Layer {
  const faultyHypervisor = settings.faulty === '' ? undefined : faultyNamed(settings.faulty);
  if (faultyHypervisor === undefined) return fromConfig(dataOf(settings));
  const { draft } = settings;
  if (!faultyHypervisor.drafts.includes(draft)) {
    throw new TypeError(`faulty: this one is about draft ${faultyHypervisor.drafts.join(' and ')}`);
  }
  if (!settings.rng || settings.interfaces.length === 0 || (draft === 3 && !settings.generation)) {
    const needed = draft === 3 ? 'an interface, the RNG and the generation' : 'an interface and the RNG';
    throw new TypeError(`faulty: it needs ${needed} to lie about`);
  }
  const input =
    faultyHypervisor.input === undefined
      ? settings.input
      : faultyHypervisor.input
        ? accepted(settings)
        : 'none';
  const good = fromConfig(dataOf({ ...settings, input }));
  if (before === undefined) return faultyHypervisor.makeFaulty(good, draft);
  let starts = 0;
  const layer = faultyHypervisor.makeFaulty((host) => {
    const cpu = good(host);
    if (starts++ > 0) return cpu;
    return { ...cpu, rdmsr: (index) => (index === settings.generationMsr ? before : cpu.rdmsr(index)) };
  }, draft);
  // The machine that was saved: as far as the faulty hypervisor can tell, it ran under this layer too.
  layer(bare).rdmsr(settings.generationMsr);
  return layer;
}

function accepted({ input }: Settings): Settings['input'] {
  return input === 'none' ? 'ignore' : input;
}

/** Why the settings make no machine; `undefined` where they do. */
export function flawOf(settings: Settings): string | undefined {
  try {
    layerOf(settings)(bare);
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}
