/** Runs before all else: the first machine's worker starts while the page's own code is still on its way. */
import { prepare } from './state/remote.ts';

if (typeof WebAssembly !== 'undefined' && !/[#&]engine=model(&|$)/.test(location.hash)) await prepare();
const { show } = await import('./ui/main.tsx');
show();
