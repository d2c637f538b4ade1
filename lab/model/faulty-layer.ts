/** The hypervisor that the settings describe, right or wrong on purpose, and why it cannot be had. */
import { bare, type Layer } from 'commonhv';
import { fromConfig } from 'commonhv/hypervisor';
import { faultyNamed, type Named } from './faulty.ts';
import { configOf, type LayerExtras, rightLayer } from './layer.ts';
import type { Settings } from './settings.ts';

/** A new machine's layer; each copy has its own. Throws a TypeError or RangeError with one line where the settings contradict. */
export function layerOf(settings: Settings, extras: LayerExtras = {}): Layer {
  const wrong = settings.faulty === '' ? undefined : faultyNamed(settings.faulty);
  return wrong === undefined ? rightLayer(settings, extras) : faultyLayer(settings, wrong, extras);
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
