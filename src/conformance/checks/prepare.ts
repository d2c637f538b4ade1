/** The generation page before an event that keeps or renews it. */
import { encodePage, PAGE_SIZE } from '../../spec/index.ts';
import { isFault, shown } from '../answers.ts';
import { evidenceOf } from '../evidence.ts';
import type { Implementation } from '../implementation.ts';
import { MARK, MARK_AT, type SavedPage } from './copy.ts';
import { bytesOf, OWN, pageHolds, pagesOf } from './page.ts';
import { watchOf } from './reads.ts';

/** Whether the page can be used: it is offered, its memory can be reached, and it takes what it has to. */
async function usablePages(implementation: Implementation) {
  const pages = await pagesOf(implementation);
  const { page } = implementation;
  const evidence = evidenceOf(implementation);
  if (page === undefined || pages === undefined || evidence.has('page.enable') || evidence.has('msrs.page'))
    return undefined;
  return { ...pages, msr: page.msr };
}

/** Enables or disables the page, and marks the memory beside it: the state that is saved next has both. */
export async function prepare(implementation: Implementation, savedPage: SavedPage): Promise<void> {
  const pages = await usablePages(implementation);
  if (pages === undefined) return;
  const { memory, first, second, msr } = pages;
  const cpu = implementation.machine.cpus[0];
  await cpu.wrmsr(msr, savedPage === 'enabled' ? encodePage(first) : 0n);
  if (savedPage === 'disabled') await memory.write(first, bytesOf(OWN));
  await memory.write(first + 8, bytesOf(OWN));
  if (second === undefined) return;
  const marked = new Uint8Array(PAGE_SIZE);
  marked.set(bytesOf(MARK), MARK_AT);
  await memory.write(second, marked);
}

/** The page as it is enabled on the machine, after something that keeps it: its register, and its bytes, by `rule`. */
export async function pageKept(implementation: Implementation, when: string, rule: string): Promise<void> {
  const pages = await usablePages(implementation);
  const watch = watchOf(implementation);
  const evidence = evidenceOf(implementation);
  if (pages === undefined || watch?.last === undefined || evidence.has('generation.migration')) return;
  for (const [cpu, asked] of implementation.machine.cpus.entries()) {
    const now = await asked.rdmsr(pages.msr);
    const expected = encodePage(pages.first);
    evidence.expect(
      'page.exception',
      !isFault(now),
      () => `the page's register ${when}, CPU ${cpu}: raises ${shown(now)}`,
    );
    if (isFault(now)) continue;
    evidence.expect(
      'page.value',
      now === expected,
      () => `the page's register ${when}, CPU ${cpu}: expected ${shown(expected)}, got ${shown(now)}`,
    );
  }
  const { memory } = implementation.machine;
  if (memory !== undefined) await pageHolds(implementation, memory, pages.first, OWN, rule, when);
}
