// A resumed copy may say nothing until it has reseeded: its console is held back until the guest acknowledges the new
// generation, and for a bounded time only. Needs `npm run build`.
import { v86 } from 'commonhv/engines/v86';
import { fromConfig } from 'commonhv/hypervisor';
import { overSerial, probeImage } from 'commonhv/probe';

const GENERATION = 0x4000_00a1;
const MAX_HELD_MS = 2000;

/** The same output, none of it before `acknowledged` resolves or the time is over. */
function held(readable, acknowledged) {
  let timer;
  const late = new Promise((resolve) => {
    timer = setTimeout(resolve, MAX_HELD_MS, 'no acknowledgement in time');
  });
  const released = Promise.race([acknowledged, late]);
  const gate = new TransformStream({
    async start() {
      await released;
      clearTimeout(timer);
    },
  });
  return { output: readable.pipeThrough(gate), released };
}

/** A layer, and the promise of its guest's first acknowledgement. */
function withAcknowledgement() {
  let resolve;
  const acknowledged = new Promise((fulfil) => {
    resolve = fulfil;
  });
  const layer = fromConfig({ rng: { source: 'os' }, generation: {} }, ({ kind }) => {
    if (kind === 'acknowledged') resolve('the guest has reseeded');
  });
  return { layer, acknowledged };
}

const engine = v86({ memory: 4 * 2 ** 20 });
const first = await engine.start(withAcknowledgement().layer, { kernel: probeImage() });
await overSerial(first.console); // its guest answers: now it can be saved
const state = await first.save();
await first.close();

for (const reseeds of [true, false]) {
  const { layer, acknowledged } = withAcknowledgement();
  const copy = await engine.resume(layer, state);
  // The probe is driven over its serial line, so this program plays the guest's kernel too, on the guest's side of the gate.
  const [inside, outside] = copy.console.readable.tee();
  const { output, released } = held(outside, acknowledged);
  let open = false;
  released.then(() => {
    open = true;
  });
  const reader = output.getReader();
  const heard = reader.read().then(() => open);
  const guest = await overSerial(
    { readable: inside, writable: copy.console.writable },
    { pokeIntervalMs: 50 },
  );
  if (reseeds) await guest.wrmsr(GENERATION, await guest.rdmsr(GENERATION));
  console.log(`${reseeds ? 'a copy that reseeds' : 'a copy that does not'}: released: ${await released}`);
  console.log(`  its output came ${(await heard) ? 'after' : 'before'} that`);
  reader.cancel().catch(() => {});
  await copy.close();
}
