// A guest under CommonHV in a page, and what it sees: the same program for Vite, esbuild and a plain HTML page, by the recipes
// in examples/README.md. v86.wasm is served beside the page.
import { v86 } from 'commonhv/engines/v86';
import { discover } from 'commonhv/guest';
import { commonhv, systemSource } from 'commonhv/hypervisor';
import { overSerial, probeImage } from 'commonhv/probe';

const engine = v86({ wasm: new URL('v86.wasm', document.baseURI).href });
const layer = commonhv({ rng: { source: systemSource() } });
const machine = await engine.start(layer, { kernel: probeImage() });
try {
  const found = await discover(await overSerial(machine.console));
  document.title = found === undefined ? 'no CommonHV' : `CommonHV draft ${found.draft}`;
} finally {
  await machine.close();
}
