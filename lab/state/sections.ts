/** The parts of the page. Their names may stand in the address, where they are a jump and not a setting. */

export const SECTIONS = [
  ['settings', 'Hypervisor'],
  ['machine', 'Machine'],
  ['leaves', 'Leaves'],
  ['timeline', 'Timeline'],
  ['random', 'Random'],
  ['conformance', 'Conformance'],
] as const;

/** The part that a fragment names. */
export function sectionOf(fragment: string): string | undefined {
  return SECTIONS.find(([id]) => `#${id}` === fragment)?.[0];
}

/** Brings a part into view, and the focus to its heading. */
export function jump(id: string): void {
  const part = document.getElementById(id);
  part?.scrollIntoView();
  part?.querySelector<HTMLElement>('h2')?.focus({ preventScroll: true });
}
