/** `node --import commonhv/restored/auto PROGRAM`: each thread seeds its generators anew after each restore of the machine. @module */
import { onRestored, reseed } from './index.ts';

onRestored(() => reseed(), {
  onError: (error) =>
    process.emitWarning(`commonhv: not reseeded: ${error instanceof Error ? error.message : error}`),
});
