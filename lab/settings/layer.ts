/** The hypervisor that the settings describe, as the library's own options, and why it cannot be had. */
import { bare, type Layer } from 'commonhv';
import {
  commonhv,
  countingSource,
  type Options,
  type Source,
  stuckSource,
  systemGeneration,
  systemSource,
} from 'commonhv/hypervisor';
import { liarNamed } from './liars.ts';
import type { Settings } from './settings.ts';

const SOURCES: Record<Settings['source'], () => Source> = {
  os: systemSource,
  stuck: stuckSource,
  counting: countingSource,
};

export function optionsOf(settings: Settings, next: () => bigint = systemGeneration()): Options {
  const { draft, hypervisorBit, interfaces, preferred } = settings;
  return {
    draft,
    hypervisorBit,
    interfaces,
    ...(draft === 3 && preferred > 0 ? { preferred } : {}),
    ...(settings.rng
      ? { rng: { msr: settings.rngMsr, source: SOURCES[settings.source](), input: settings.input } }
      : {}),
    ...(draft === 3 && settings.generation ? { generation: { msr: settings.generationMsr, next } } : {}),
  };
}

/**
 * A new machine's layer; throws a TypeError or RangeError with one line where the settings contradict. For a machine that
 * was saved, `before` is the generation that it had: some liars keep it, and each copy has a layer of its own.
 */
export function layerOf(settings: Settings, before?: bigint): Layer {
  const liar = settings.liar === '' ? undefined : liarNamed(settings.liar);
  if (liar === undefined) return commonhv(optionsOf(settings));
  const { draft } = settings;
  if (!liar.drafts.includes(draft)) {
    throw new TypeError(`liar: this one is about draft ${liar.drafts.join(' and ')}`);
  }
  if (!settings.rng || settings.interfaces.length === 0 || (draft === 3 && !settings.generation)) {
    const needed = draft === 3 ? 'an interface, the RNG and the generation' : 'an interface and the RNG';
    throw new TypeError(`liar: it needs ${needed} to lie about`);
  }
  const fresh = systemGeneration();
  let starts = 0;
  const next = () => (starts++ === 0 && before !== undefined ? before : fresh());
  const input = liar.input === undefined ? settings.input : liar.input ? accepted(settings) : 'none';
  const layer = liar.lie(commonhv(optionsOf({ ...settings, input }, next)), draft);
  // The machine that was saved ran under this layer, as far as the liar can tell.
  if (before !== undefined) layer(bare).rdmsr(settings.generationMsr);
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
