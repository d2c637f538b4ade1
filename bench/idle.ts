/** What an idle stock guest at its shell takes of a processor: under v86 as it comes, and under the engine. */
import { setTimeout as pause } from 'node:timers/promises';
import { MachineError } from 'commonhv';
import { v86 } from 'commonhv/engines/v86';
import { commonhv, systemSource } from 'commonhv/hypervisor';
import { debianGuest, shellOf } from '../test/support/debian-guest.ts';
import { type Bench, median } from './figure.ts';
import { toShell } from './firmware.ts';

const ROUNDS = 3;
const WINDOW = 10_000; // milliseconds
const layer = commonhv({ rng: { source: systemSource() } });

/** The share of a processor that this process takes, in percent, once the guest has come to rest. */
async function idle(): Promise<number> {
  await pause(2000);
  const [before, begun] = [process.cpuUsage(), performance.now()];
  await pause(WINDOW);
  const { user, system } = process.cpuUsage(before);
  return (user + system) / (performance.now() - begun) / 10;
}

export const bench: Bench = async () => {
  const debian = debianGuest();
  if (debian.skip !== false) throw new MachineError(`no Debian guest here: ${debian.skip}`);
  const { image } = debian;

  async function asItComes(): Promise<number> {
    const { stop } = await toShell(image, layer);
    return idle().finally(stop);
  }

  async function engine(): Promise<number> {
    const machine = await v86({ memory: 128 * 2 ** 20 }).start(layer, image);
    await shellOf(machine);
    return idle().finally(() => machine.close());
  }

  const plain: number[] = [];
  const ours: number[] = [];
  for (let i = 0; i < ROUNDS; i++) {
    plain.push(await asItComes());
    ours.push(await engine());
  }
  return [
    { name: 'the engine to v86 as it comes', value: median(ours) / median(plain), unit: 'ratio', most: 1 },
    { name: 'an idle guest under the engine', value: median(ours), unit: '%' },
    { name: 'an idle guest under v86 as it comes', value: median(plain), unit: '%' },
  ];
};
