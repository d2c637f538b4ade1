/** Interfaces in words. */
import type { Interface } from 'commonhv/guest';
import { formatSignature } from 'commonhv/spec';
import { leafName } from './text.ts';

/** The list in its order; equal entries that follow each other are counted, as a hypervisor may claim hundreds. */
export function listText(interfaces: readonly Interface[], preferred?: number): string {
  if (interfaces.length === 0) return 'No interface is listed.';
  const runs: { readonly text: string; count: number }[] = [];
  interfaces.forEach((entry, i) => {
    const text = `${nameOf(entry)} at ${leafName(entry.location)}${entry.confirmed ? '' : ' (not confirmed)'}${
      preferred === i + 1 ? ' (preferred)' : ''
    }`;
    const last = runs.at(-1);
    if (last?.text === text) last.count++;
    else runs.push({ text, count: 1 });
  });
  return `${runs.map(({ text, count }) => (count === 1 ? text : `${count} × ${text}`)).join(', ')}.`;
}

export const nameOf = ({ product, signature }: Interface): string => product ?? formatSignature(signature);
