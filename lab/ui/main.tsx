/** The lab: a page in which a guest discovers its hypervisor while you watch. */
import { render } from 'preact';
import { initialSection } from '../state/address.ts';
import { jump } from '../state/sections.ts';
import { App } from './app.tsx';

/** Puts the page in the place of the few words that stand in `index.html`. */
export function show(place: HTMLElement): void {
  place.replaceChildren();
  place.removeAttribute('hidden');
  render(<App />, place);
  if (initialSection !== undefined) jump(initialSection);
}
