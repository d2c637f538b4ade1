/** Runs before all else: the first machine starts at once, and the page's own code takes its turn when that guest has answered. */
import { prepare } from './state/remote.ts';

/**
 * When the words of index.html appear, in milliseconds, where the page itself is not there yet: to lay out text takes as long
 * as to start a worker. In a frame of another page they never do: they are those of a whole page.
 */
const WORDS_MS = 300;

const place = document.getElementById('lab')!;
if (!/[#&]embed=1(&|$)/.test(location.hash)) setTimeout(() => place.removeAttribute('hidden'), WORDS_MS);
if (typeof WebAssembly !== 'undefined' && !/[#&]engine=model(&|$)/.test(location.hash)) prepare();
begin().catch(tell);

// No await at the top: the files that this imports import from it.
async function begin(): Promise<void> {
  const { open } = await import('./state/address.ts');
  await open();
  const { show } = await import('./ui/main.tsx');
  show(place);
}

/** In the place of a page that could not be loaded. */
function tell(error: unknown): void {
  const line = document.createElement('p');
  line.className = 'notice';
  line.role = 'alert';
  line.textContent = `The lab could not be loaded (${error instanceof Error ? error.message : error}): see that it is still served, and reload the page.`;
  place.append(line);
  place.removeAttribute('hidden');
}
