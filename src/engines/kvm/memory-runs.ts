/** The pages of a guest's memory that are not zero. */
import { closeSync, openSync, readSync } from 'node:fs';
import type { GuestMemory } from './memory.ts';
import type { MemoryRun } from './saved-state.ts';

const PAGE = 4096;
const CHUNK = 2 ** 20;
const ZEROS = Buffer.alloc(PAGE);
/** Of an entry of /proc/self/pagemap: bits 63 and 62, present or swapped (Documentation/admin-guide/mm/pagemap.rst). */
const TOUCHED = 0xc0;
const ENTRY = 8;

/** Runs of consecutive pages that are not zero, at most 1 MiB each, each a copy. */
export function* memoryRuns(memory: GuestMemory): Generator<MemoryRun> {
  const pagemap = memory.anonymous ? openPagemap() : undefined;
  try {
    for (let at = 0; at < memory.size; at += CHUNK) {
      const size = Math.min(CHUNK, memory.size - at);
      if (pagemap !== undefined && !touched(pagemap, memory.address + BigInt(at), size)) continue;
      const chunk = Buffer.alloc(size);
      memory.read(at, chunk);
      yield* runsOf(chunk, at);
    }
  } finally {
    if (pagemap !== undefined) closeSync(pagemap);
  }
}

function* runsOf(chunk: Buffer, base: number): Generator<MemoryRun> {
  let start = 0;
  for (let at = 0; at <= chunk.length; at += PAGE) {
    if (at < chunk.length && chunk.compare(ZEROS, 0, PAGE, at, at + PAGE) !== 0) continue;
    if (at > start) yield { address: base + start, bytes: chunk.subarray(start, at) };
    start = at + PAGE;
  }
}

/** Some systems hide the page map: then every page is read. */
function openPagemap(): number | undefined {
  try {
    return openSync('/proc/self/pagemap', 'r');
  } catch {
    return undefined;
  }
}

/** Whether any page of an anonymous range was ever touched; the others are zero. */
function touched(pagemap: number, address: bigint, size: number): boolean {
  const entries = new Uint8Array((size / PAGE) * ENTRY);
  const count = readSync(pagemap, entries, 0, entries.length, Number(address / BigInt(PAGE)) * ENTRY);
  if (count < entries.length) return true;
  for (let i = ENTRY - 1; i < count; i += ENTRY) if ((entries[i]! & TOUCHED) !== 0) return true;
  return false;
}
