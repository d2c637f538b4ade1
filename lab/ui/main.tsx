/** The lab: a page in which a guest discovers its hypervisor while you watch. */
import { render } from 'preact';
import { initialSection, open } from '../state/address.ts';
import { jump } from '../state/sections.ts';
import { App } from './app.tsx';

export function show(): void {
  // The machine starts while the page draws itself.
  open();
  render(<App />, document.getElementById('lab')!);
  if (initialSection !== undefined) jump(initialSection);
}
