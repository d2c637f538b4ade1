/** The lab: a page in which a guest discovers its hypervisor while you watch. */
import { render } from 'preact';
import { initialSection } from '../state/address.ts';
import { jump } from '../state/sections.ts';
import { App } from './app.tsx';

/** Puts the page in the place of the few words that stand in `index.html`. */
export function show(): void {
  const place = document.getElementById('lab')!;
  place.replaceChildren();
  render(<App />, place);
  if (initialSection !== undefined) jump(initialSection);
}
