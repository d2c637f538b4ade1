/** The hypervisor that the settings describe, as the library's own options. The faulty ones stand apart: a page's first machine needs none. */
import type { Layer } from 'commonhv';
import { type Config, fromConfig, type LayerEvent, maskCommonhv } from 'commonhv/hypervisor';
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

/** The layer of settings that name no faulty hypervisor. */
export function rightLayer(settings: Settings, { onEvent }: LayerExtras = {}): Layer {
  const layer = fromConfig(configOf(settings), onEvent);
  return settings.commonhv ? layer : (host) => maskCommonhv(layer(host));
}
