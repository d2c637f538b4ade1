/** The hypervisor that the settings describe, as the library's own options, and why it cannot be had. */
import { bare, type Layer } from 'commonhv';
import { type Config, fromConfig, type LayerEvent, maskCommonhv } from 'commonhv/hypervisor';
import { faultyNamed, type Named } from './faulty.ts';
import type { Settings } from './settings.ts';

export function configOf(settings: Settings): Config {
  const { draft, hypervisorBit, interfaces, preferred, source, input } = settings;
  return {
    draft,
    hypervisorBit,
    interfaces,
    preferred: draft === 3 && preferred > 0 ? preferred : undefined,
    rng: settings.rng ? { msr: settings.rngMsr, source, input } : undefined,
    generation: draft === 3 && settings.generation ? { msr: settings.generationMsr } : undefined,
  };
}

/** Reports of the layer, and the generation of the saved machine: some faulty hypervisors keep it. */
export interface LayerExtras {
  readonly before?: bigint | undefined;
  readonly onEvent?: ((event: LayerEvent) => void) | undefined;
}

/** A new machine's layer; each copy has its own. Throws a TypeError or RangeError with one line where the settings contradict. */
export function layerOf(settings: Settings, { before, onEvent }: LayerExtras = {}): Layer {
  const wrong = settings.faulty === '' ? undefined : faultyNamed(settings.faulty);
  if (wrong !== undefined) return faultyLayer(settings, wrong, { before, onEvent });
  const layer = fromConfig(configOf(settings), onEvent);
  return settings.commonhv ? layer : (host) => maskCommonhv(layer(host));
}

function faultyLayer(settings: Settings, wrong: Named, { before, onEvent }: LayerExtras): Layer {
  const { draft } = settings;
  if (!settings.commonhv) throw new TypeError('faulty: it needs CommonHV to be offered');
  if (!wrong.drafts.includes(draft)) {
    throw new TypeError(`faulty: this one is about draft ${wrong.drafts.join(' and ')}`);
  }
  if (!settings.rng || settings.interfaces.length === 0 || (draft === 3 && !settings.generation)) {
    const needed = draft === 3 ? 'an interface, the RNG and the generation' : 'an interface and the RNG';
    throw new TypeError(`faulty: it needs ${needed} to be wrong about`);
  }
  const input = wrong.input === undefined ? settings.input : wrong.input ? accepted(settings) : 'none';
  const good = fromConfig(configOf({ ...settings, input }), onEvent);
  if (before === undefined) return wrong.makeFaulty(good, draft);
  let starts = 0;
  const layer = wrong.makeFaulty((host) => {
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
export function validationErrorOf(settings: Settings): string | undefined {
  try {
    layerOf(settings)(bare);
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}
