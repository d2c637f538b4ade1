/** The layer's part of a saved machine: its leaves, which must not change, and the state of the generation. */
import { MachineError, type SavedLayer, type SyncCpu } from '../cpu.ts';
import { decodePage, PAGE_ENABLE } from '../spec/index.ts';
import type { SavedGeneration } from './generation.ts';

/** Nothing from which random values are made is in it. */
export function encodeSaved(
  leaves: readonly string[],
  generation: SavedGeneration | undefined,
  host: SavedLayer | undefined,
): SavedLayer {
  return {
    commonhv: leaves.join('\n'),
    ...(generation && {
      generation: generation.generation.toString(16),
      acknowledged: generation.acknowledged,
      page: generation.page === undefined ? null : generation.page.toString(16),
    }),
    ...(host && { host }),
  };
}

/** The state of the lower layer in that of this one. */
export function hostPart(saved: SavedLayer | undefined): SavedLayer | undefined {
  const host = saved?.host;
  return typeof host === 'object' && host !== null ? host : undefined;
}

const NO_LAYER = 'it was not saved under a CommonHV layer, so its guest saw other leaves';

const BROKEN = 'broken: the layer’s part of it';

const refused = (detail: string) => new MachineError(`state: ${detail}`, { code: 'refused' });

/**
 * Compares a saved state with the leaves of this machine, and gives the saved generation. Throws a MachineError, code
 * `refused`, where the leaves differ: `why` says why a feature is not offered here.
 */
export function checkSaved(
  saved: SavedLayer | undefined,
  leaves: readonly string[],
  host: SyncCpu,
  why: string,
): Partial<SavedGeneration> {
  if (saved === undefined) {
    if (host.words !== undefined) return checkWords(host.words.load(), leaves, why);
    // An engine without guest memory or states of its own restores nothing but this layer, which is here still.
    if (host.memory === undefined && host.resumed !== true) return {};
    throw refused(NO_LAYER);
  }
  const { commonhv, generation, acknowledged, page } = saved;
  if (typeof commonhv !== 'string') throw refused('it was not saved under a CommonHV layer');
  const before = commonhv.split('\n');
  const lines = Math.max(before.length, leaves.length);
  for (let i = 0; i < lines; i++) {
    if (before[i] === leaves[i]) continue;
    const [was, now] = [before[i] ?? 'nothing', leaves[i] ?? 'nothing'].map((text) => text.slice(0, 60));
    throw refused(`saved with other CommonHV leaves: ${was}, here ${now}${why}`);
  }
  const pageAddress = readHex(page);
  const address = pageAddress === undefined ? undefined : decodePage(pageAddress ^ PAGE_ENABLE);
  if (address === 'invalid') throw refused(BROKEN);
  return {
    ...(generation !== undefined && { generation: readHex(generation) ?? 0n }),
    ...(typeof acknowledged === 'boolean' && { acknowledged }),
    page: address,
  };
}

function readHex(value: SavedLayer[string] | undefined): bigint | undefined {
  if (value === undefined || value === null) return undefined;
  if (typeof value !== 'string' || !/^[0-9a-f]{1,16}$/.test(value)) throw refused(BROKEN);
  return BigInt(`0x${value}`);
}

/**
 * Where the engine's states carry two words only: the page register's low 32 bits, and a checksum of the leaves, which is never 0
 * once the machine was reset under a layer.
 */
function checkWords(
  [register, sum]: readonly [number, number],
  leaves: readonly string[],
  why: string,
): Partial<SavedGeneration> {
  if (sum === 0) throw refused(NO_LAYER);
  if (sum !== checksum(leaves))
    throw refused(`saved with other CommonHV leaves than those of this layer${why}`);
  const page = decodePage(BigInt(register));
  return { page: page === 'invalid' ? undefined : page };
}

/** Never 0: FNV-1a, 32 bits. It finds a changed configuration, not an attack. */
export function checksum(leaves: readonly string[]): number {
  let sum = 0x811c_9dc5;
  for (const character of leaves.join('\n')) {
    sum = Math.imul(sum ^ character.codePointAt(0)!, 0x0100_0193);
  }
  return sum >>> 0 || 1;
}
