/** Runs before all else: the first machine starts at once, and the page's own code takes its turn when that guest has answered. */
import { prepare } from './state/remote.ts';

if (typeof WebAssembly !== 'undefined' && !/[#&]engine=model(&|$)/.test(location.hash)) prepare();
const { open } = await import('./state/address.ts');
await open();
const { show } = await import('./ui/main.tsx');
show();
