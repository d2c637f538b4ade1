/** From the command line's words to the options of `commonhv`, with the interfaces of the host CPU as the default list. */
import type { Cpu, Layer } from '../cpu.ts';
import { scan } from '../guest/index.ts';
import { type Config, fromConfig } from '../hypervisor/index.ts';
import { SIGNATURE, type Tuple } from '../spec/index.ts';
import { type Io, UsageError } from './io.ts';
import type { LayerOptions } from './options.ts';
import { readSignature } from './options.ts';

/** The layer that the options describe. */
export async function layerFrom(options: LayerOptions, host: Cpu): Promise<Layer> {
  return fromConfig(await configFrom(options, host));
}

/** The layer that the options describe, as data. The host CPU is scanned where they list no interfaces. */
export async function configFrom(options: LayerOptions, host: Cpu): Promise<Config> {
  const { draft, hypervisorBit } = options;
  if (!options.rng && options.rngMsr !== undefined) throw new UsageError('--rng-msr contradicts --no-rng');
  if (!options.rng && options.rngInput !== undefined)
    throw new UsageError('--rng-input contradicts --no-rng');
  if (!options.generation && options.generationMsr !== undefined) {
    throw new UsageError('--generation-msr contradicts --no-generation');
  }
  if (options.generationPage === false && options.generationPageMsr !== undefined)
    throw new UsageError('--generation-page-msr contradicts --no-generation-page');
  // A hypervisor may show CommonHV's own signature at an old place: the layer refuses it in its list.
  const found = options.interface ?? (await scan(host)).filter(({ signature }) => signature !== SIGNATURE);
  const listed = found.map(({ signature, location }) => ({ signature, location }));
  const rng = options.rng && {
    source: options.rngSource,
    ...(options.rngMsr !== undefined && { msr: options.rngMsr }),
    ...(options.rngInput !== undefined && { input: options.rngInput }),
  };
  // Drafts 1 and 2 have no generation register: none by default, and an index for it is refused by the layer.
  const generation = options.generation &&
    (draft === 3 || options.generationMsr !== undefined) && {
      msr: options.generationMsr,
      pageMsr: options.generationPageMsr,
      ...(options.generationPage === false && { page: false }),
      ...(options.acknowledgement === false && { ack: false }),
    };
  return {
    draft,
    hypervisorBit,
    ...preference(options, listed),
    ...(rng && { rng }),
    ...(generation && { generation }),
  };
}

/** Predictable values are shown in every report: the name of their source, or undefined for the operating system's. */
export function deterministicSource({ rng, rngSource }: LayerOptions): string | undefined {
  return rng && rngSource !== 'os' ? rngSource : undefined;
}

/** For commands whose output has no place for it. */
export function warnDeterministic(options: LayerOptions, io: Io): void {
  const source = deterministicSource(options);
  if (source !== undefined)
    io.err(`commonhv: the RNG's values are deterministic: --rng-source ${source} is for tests`);
}

/** Draft 3 has an index for the preferred interface; drafts 1 and 2 prefer the first. */
function preference(
  { draft, prefer }: LayerOptions,
  interfaces: readonly Tuple[],
): Pick<Config, 'interfaces' | 'preferred'> {
  if (prefer === undefined) return { interfaces };
  const index = /^\d+$/.test(prefer)
    ? Number(prefer)
    : interfaces.findIndex(({ signature }) => signature === readSignature(prefer)) + 1;
  const chosen = interfaces[index - 1];
  if (chosen === undefined) {
    const names = interfaces.map(({ signature }) => signature.replace(/\0+$/, ''));
    throw new UsageError(
      `--prefer ${prefer}: expected one of the ${names.length} interfaces${names.length > 0 ? ` (${names.join(', ')}), or its index from 1` : ''}`,
    );
  }
  if (draft === 3) return { interfaces, preferred: index };
  return { interfaces: [chosen, ...interfaces.filter((tuple) => tuple !== chosen)] };
}
