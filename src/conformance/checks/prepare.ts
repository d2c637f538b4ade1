/** The generation page before an event that keeps or renews it. */
import { encodePage, PAGE_SIZE } from '../../spec/index.ts';
import { evidenceOf } from '../evidence.ts';
import type { Implementation } from '../implementation.ts';
import { MARK, MARK_AT, type SavedPage, usablePages } from './copy-page.ts';
import { bytesOf, OWN, pageHolds, pageReads } from './page-bytes.ts';
import { watchOf } from './reads.ts';

/** Enables or disables the page, and marks the memory beside it: the state that is saved next has both. */
export async function prepare(implementation: Implementation, savedPage: SavedPage): Promise<void> {
  const pages = await usablePages(implementation, savedPage);
  if (pages === undefined) return;
  const { memory, first, second, msr } = pages;
  const cpu = implementation.machine.cpus[0];
  const value = savedPage === 'disabled' ? 0n : encodePage(first);
  // After a reset it is 0 without a write.
  if ((await cpu.rdmsr(msr)) !== value || value !== 0n) await cpu.wrmsr(msr, value);
  if (savedPage === 'disabled') await memory.write(first, bytesOf(OWN));
  const own = new Uint8Array(PAGE_SIZE - 8);
  own.set(bytesOf(OWN));
  await memory.write(first + 8, own);
  if (second === undefined) return;
  const marked = new Uint8Array(PAGE_SIZE);
  marked.set(bytesOf(MARK), MARK_AT);
  await memory.write(second, marked);
}

/** The page as it is enabled on the machine, after something that keeps it: its register, and its bytes, by `rule`. */
export async function pageKept(implementation: Implementation, when: string, rule: string): Promise<void> {
  const pages = await usablePages(implementation);
  const watch = watchOf(implementation);
  const { memory, cpus } = implementation.machine;
  if (pages === undefined || watch?.last === undefined || memory === undefined) return;
  const evidence = evidenceOf(implementation);
  if (evidence.has('generation.migration') || (rule === 'page.holds' && evidence.has('page.renewed'))) return;
  await pageReads(implementation, cpus.entries(), encodePage(pages.first), 'page.value', when);
  await pageHolds(implementation, watch, memory, pages.first, OWN, rule, when);
}
