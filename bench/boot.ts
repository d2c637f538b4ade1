/** A stock Debian kernel to its shell under v86, with and without the hook, in one run. */
import { type Layer, MachineError } from 'commonhv';
import { commonhv, systemSource } from 'commonhv/hypervisor';
import { debianGuest } from '../test/debian-guest.ts';
import { type Bench, median } from './figure.ts';
import { start } from './firmware.ts';

const ROUNDS = 4;
const READY = 'guest ready: Linux';
const PATIENCE = 300_000;

interface Boot {
  readonly seconds: number;
  /** Processor time of the whole process: what else the machine does shows less in it. */
  readonly cpu: number;
}

async function once(image: Parameters<typeof start>[0], layer: Layer | undefined): Promise<Boot> {
  let heard = '';
  let done: () => void;
  const ready = new Promise<void>((resolve) => {
    done = resolve;
  });
  const began = performance.now();
  const before = process.cpuUsage();
  const stop = await start(image, {
    layer,
    memory: 128 * 2 ** 20,
    onByte(byte) {
      heard = (heard + String.fromCharCode(byte)).slice(-READY.length);
      if (heard === READY) done();
    },
  });
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new MachineError(`no shell within ${PATIENCE / 1000} s`)), PATIENCE);
  });
  await Promise.race([ready, late]).finally(() => clearTimeout(timer));
  const { user, system } = process.cpuUsage(before);
  const seconds = (performance.now() - began) / 1000;
  await stop();
  return { seconds, cpu: (user + system) / 1e6 };
}

export const bench: Bench = async () => {
  const debian = debianGuest();
  if (debian.skip !== false) throw new MachineError(`no Debian guest here: ${debian.skip}`);
  const layer = () => commonhv({ rng: { source: systemSource() } });
  const [hooked, plain] = [[], []] as [Boot[], Boot[]];
  for (let i = 0; i < ROUNDS; i++) {
    plain.push(await once(debian.image, undefined));
    hooked.push(await once(debian.image, layer()));
  }
  // The fastest of each: whatever else the machine does can only add to a boot.
  const fastest = (boots: readonly Boot[]) => Math.min(...boots.map(({ cpu }) => cpu));
  const ratio = fastest(hooked) / fastest(plain);
  return [
    { name: 'processor time, with the hook to without', value: ratio, unit: 'ratio', most: 1.02 },
    { name: 'with the hook', value: median(hooked.map(({ seconds }) => seconds)), unit: 's' },
    { name: 'without the hook', value: median(plain.map(({ seconds }) => seconds)), unit: 's' },
  ];
};
