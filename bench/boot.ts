/** A stock Debian kernel to its shell under v86, with and without the hook: both boot at the same time, in turns. */
import { type Image, type Layer, MachineError } from 'commonhv';
import { commonhv, systemSource } from 'commonhv/hypervisor';
import { debianGuest } from '../test/support/debian-guest.ts';
import { type Bench, median } from './figure.ts';
import { toShell } from './firmware.ts';

const ROUNDS = 5;
/** Seconds that the guest ran until its shell. */
async function once(image: Image, layer: Layer | undefined): Promise<number> {
  const { seconds, stop } = await toShell(image, layer);
  await stop();
  return seconds;
}

export const bench: Bench = async () => {
  const debian = debianGuest();
  if (debian.skip !== false) throw new MachineError(`no Debian guest here: ${debian.skip}`);
  const { image } = debian;
  const hook = () => once(image, commonhv({ rng: { source: systemSource() } }));
  const none = () => once(image, undefined);
  const hooked: number[] = [];
  const plain: number[] = [];
  for (let i = 0; i < ROUNDS; i++) {
    // Whoever starts first is a little ahead: in turn.
    const [a, b] = await Promise.all(i % 2 === 0 ? [hook(), none()] : [none(), hook()]);
    hooked.push(i % 2 === 0 ? a : b);
    plain.push(i % 2 === 0 ? b : a);
  }
  const ratio = median(hooked.map((seconds, i) => seconds / plain[i]!));
  return [
    { name: 'time that the guest ran, with the hook to without', value: ratio, unit: 'ratio', most: 1.02 },
    { name: 'with the hook', value: median(hooked), unit: 's' },
    { name: 'without the hook', value: median(plain), unit: 's' },
  ];
};
