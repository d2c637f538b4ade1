/** The options of `commonhv` as plain data, for configuration files and messages to other threads. */
import type { Layer } from '../cpu.ts';
import { commonhv } from './layer.ts';
import type { CommonhvOptions, GenerationOptions, RngOptions } from './options.ts';
import { countingSource, type Source, stuckSource, systemSource } from './source.ts';
import type { SourceFailure } from './values.ts';

/** `os`: `systemSource`. `stuck` and `counting` are wrong on purpose, for tests. */
export type SourceName = 'os' | 'stuck' | 'counting';

/** `RngOptions` as data. */
export interface RngConfig extends Omit<RngOptions, 'source' | 'onFailure'> {
  readonly source: SourceName;
}

/** `GenerationOptions` as data; values come from the kernel's generator. */
export type GenerationConfig = Pick<GenerationOptions, 'msr' | 'ack' | 'page' | 'pageMsr'>;

/** As `CommonhvOptions`, with the source by its name. The command line, the lab and worker messages all hold this shape. */
export interface Config extends Omit<CommonhvOptions, 'rng' | 'generation'> {
  /** Without it no RNG is offered. */
  readonly rng?: RngConfig | undefined;
  /** Draft 3; without it no generation register is offered. */
  readonly generation?: GenerationConfig | undefined;
}

/** A report of one machine's layer to the machine's owner; plain data, but for a failure's `cause`. */
export type LayerEvent =
  | { readonly kind: 'source-failed'; readonly failure: SourceFailure }
  /** The guest has reseeded for the current generation, so many milliseconds after the restore, or the start. */
  | { readonly kind: 'acknowledged'; readonly milliseconds: number }
  /** The guest's generation page, at this guest-physical address, is no RAM any more. */
  | { readonly kind: 'page-lost'; readonly address: number }
  /** The outer hypervisor's generation changed, so this machine's was renewed. */
  | { readonly kind: 'renewed' };

const SOURCES: Readonly<Record<SourceName, () => Source>> = {
  os: systemSource,
  stuck: () => stuckSource(0x5555_5555_5555_5555n),
  counting: () => countingSource(),
};

/** The options that a configuration stands for. `onEvent` gets every report of the layer. Throws a RangeError for an unknown source. */
export function optionsOf(
  { rng, generation, ...rest }: Config,
  onEvent?: (event: LayerEvent) => void,
): CommonhvOptions {
  if (rng !== undefined && !Object.hasOwn(SOURCES, rng.source)) {
    throw new RangeError(
      `rng.source: expected ${Object.keys(SOURCES).join(', ')}, got ${String(rng.source)}`,
    );
  }
  return {
    ...rest,
    rng: rng && {
      ...rng,
      source: SOURCES[rng.source](),
      onFailure: onEvent && ((failure) => onEvent({ kind: 'source-failed', failure })),
    },
    generation: generation && {
      ...generation,
      onAcknowledge: onEvent && ((milliseconds) => onEvent({ kind: 'acknowledged', milliseconds })),
      onPageLost: onEvent && ((address) => onEvent({ kind: 'page-lost', address })),
      onRenewed: onEvent && (() => onEvent({ kind: 'renewed' })),
    },
  };
}

/** `commonhv` from data, which throws as it does. `onEvent` gets every report of the layer. */
export function fromConfig(config: Config, onEvent?: (event: LayerEvent) => void): Layer {
  return commonhv(optionsOf(config, onEvent));
}
