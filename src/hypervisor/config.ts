/** The options of `commonhv` as plain data, for configuration files and messages to other threads. */
import type { Layer } from '../cpu.ts';
import { commonhv } from './layer.ts';
import type { CommonhvOptions, GenerationOptions, RngOptions } from './options.ts';
import { countingSource, type Source, stuckSource, systemGeneration, systemSource } from './source.ts';
import type { SourceFailure } from './values.ts';

/** `os`: `systemSource`. `stuck` and `counting` are wrong on purpose, for tests. */
export type SourceName = 'os' | 'stuck' | 'counting';

/** As `Options`, with the source by its name, and the generation drawn from the operating system. */
export interface Config extends Omit<CommonhvOptions, 'rng' | 'generation'> {
  /** Without it no RNG is offered. */
  readonly rng?: Omit<RngOptions, 'source' | 'onFailure'> & { readonly source: SourceName };
  /** Draft 3; without it no generation register is offered. */
  readonly generation?: Omit<GenerationOptions, 'next'>;
}

const SOURCES: Readonly<Record<SourceName, () => Source>> = {
  os: systemSource,
  stuck: () => stuckSource(0x5555_5555_5555_5555n),
  counting: () => countingSource(),
};

/** `commonhv` from data, which throws as it does. `onFailure` hears of a source that fails, as the option of that name does. */
export function fromConfig(
  { rng, generation, ...rest }: Config,
  onFailure?: (failure: SourceFailure) => void,
): Layer {
  if (rng !== undefined && !Object.hasOwn(SOURCES, rng.source)) {
    throw new RangeError(
      `rng.source: expected ${Object.keys(SOURCES).join(', ')}, got ${String(rng.source)}`,
    );
  }
  return commonhv({
    ...rest,
    ...(rng && { rng: { ...rng, source: SOURCES[rng.source](), ...(onFailure && { onFailure }) } }),
    ...(generation && { generation: { ...generation, next: systemGeneration() } }),
  });
}
