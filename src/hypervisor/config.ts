/** The options of `commonhv` as plain data, for configuration files and messages to other threads. */
import type { Layer } from '../cpu.ts';
import { commonhv } from './layer.ts';
import {
  type CommonhvOptions,
  type GenerationOptions,
  type ResolvedOptions,
  type RngOptions,
  resolve,
} from './options.ts';
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

const FIELDS = {
  config: ['draft', 'hypervisorBit', 'interfaces', 'preferred', 'rng', 'generation', 'xenPage'],
  rng: ['source', 'msr', 'input', 'fallback'],
  generation: ['msr', 'ack', 'page', 'pageMsr'],
} as const;

/**
 * Checks a configuration, whoever made it (a command line, a form, a message of another thread), and fills in the defaults.
 * Throws a TypeError or RangeError whose message begins with the field's name, also for a field that there is not.
 */
export function resolveConfig(config: Config): ResolvedOptions {
  return resolve(checkedOptions(config));
}

/** `commonhv` from data: throws as `resolveConfig` does. `onEvent` gets every report of the layer. */
export function fromConfig(config: Config, onEvent?: (event: LayerEvent) => void): Layer {
  return commonhv(checkedOptions(config, onEvent));
}

function checkedOptions(config: Config, onEvent?: (event: LayerEvent) => void): CommonhvOptions {
  checkFields(config, 'config', '');
  for (const part of ['rng', 'generation'] as const)
    if (config[part] !== undefined) checkFields(config[part], part, `${part}.`);
  return optionsOf(config, onEvent);
}

function checkFields(value: unknown, part: keyof typeof FIELDS, prefix: string): void {
  if (typeof value !== 'object' || value === null)
    throw new TypeError(`${part}: expected an object, got ${value}`);
  const known: readonly string[] = FIELDS[part];
  const other = Object.keys(value).find((name) => !known.includes(name));
  if (other !== undefined)
    throw new TypeError(`${prefix}${other}: expected one of the fields ${known.join(', ')}`);
}
