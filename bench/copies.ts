/**
 * `copies`: five copies of one saved guest on v86, bare, with the agent and with the driver (without and with the page): how
 * long after the restore the kernel's values, and those of a process with a generator of its own, still occur in another copy.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Layer, Machine } from 'commonhv';
import { v86 } from 'commonhv/engines/v86';
import { commonhv, systemGeneration, systemSource } from 'commonhv/hypervisor';
import { type Shell, shellOf } from '../test/support/debian-guest.ts';
import { driverGuest } from '../test/support/driver.ts';
import { type Figure, median } from './figure.ts';

const COPIES = 5;
/** Longer than the gap by which the process recognises a restore. */
const GAP_MS = 1200;

const FEATURE_PAGE = 1 << 3;

interface Sample {
  readonly at: number; // milliseconds since the restore, by the process' clock
  readonly kernel: string;
  readonly own: string;
}

let masked = false;
const good = commonhv({
  rng: { source: systemSource() },
  generation: { next: systemGeneration(), page: true },
});
/** The page is hidden where a copy is to do without: a module reads the leaves when it is loaded. */
const layer: Layer = (host) => {
  const cpu = good(host);
  return {
    ...cpu,
    cpuid(leaf, subleaf) {
      const regs = cpu.cpuid(leaf, subleaf);
      return masked && leaf === 0x4f000002 ? { ...regs, eax: (regs.eax & ~FEATURE_PAGE) >>> 0 } : regs;
    },
  };
};

export async function bench(): Promise<readonly Figure[]> {
  const guest = driverGuest('copies');
  if (guest.skip !== false) throw new Error(guest.skip);
  const image = { ...guest.image, commandLine: `${guest.image.commandLine} nowatchdog` };
  const machine = await v86({ memory: 128 * 2 ** 20 }).start(layer, image);
  try {
    const shell = await shellOf(machine);
    await shell.run('echo 1 >/proc/sys/kernel/printk');
    const state = await machine.save!();
    const offered = await shell.run(
      'insmod /lib/modules/commonhv.ko; cat /sys/devices/platform/commonhv/page',
    );
    const driver = 'insmod /lib/modules/commonhv.ko; driver read >/dev/null';
    const figures = [
      ...(await copies(machine, shell, state, 'bare', ':')),
      ...(await copies(machine, shell, state, 'agent', 'commonhv-agent --watch 2>/dev/null & sleep 1')),
    ];
    masked = true;
    figures.push(...(await copies(machine, shell, state, 'driver by RDMSR', driver)));
    masked = false;
    if (offered === 'registered')
      figures.push(...(await copies(machine, shell, state, 'driver by page', driver)));
    return figures;
  } finally {
    await machine.close();
  }
}

/** Infinity: the values were alike to the end of the samples, 400 ms. */
async function copies(machine: Machine, shell: Shell, clean: Uint8Array, name: string, prepare: string) {
  await machine.restore!(clean);
  await shell.run(prepare);
  await shell.type('driver samples\n');
  await shell.until('sampling');
  const saved = await machine.save!();
  const taken: Sample[][] = [];
  for (let i = 0; i < COPIES; i++) {
    await sleep(GAP_MS);
    await machine.restore!(saved);
    taken.push(samplesIn(await shell.until('sampled')));
  }
  const figures = (what: 'kernel' | 'own', of: string): Figure[] => {
    const parted = taken.map((mine) => partedAt(mine, taken, what));
    return [
      { name: `${name}: ${of} alike until, median`, value: median(parted), unit: 'ms' },
      { name: `${name}: ${of} alike until, slowest`, value: Math.max(...parted), unit: 'ms' },
    ];
  };
  return [...figures('kernel', 'kernel'), ...figures('own', 'process')];
}

function samplesIn(text: string): Sample[] {
  return [...text.matchAll(/sample (\d+) (\w{8}) (\w{8})/g)].map(([, at, kernel, own]) => ({
    at: Number(at) / 1000,
    kernel: kernel!,
    own: own!,
  }));
}

/** The time of the first sample after the last one whose value is in another copy too. */
function partedAt(
  mine: readonly Sample[],
  all: readonly (readonly Sample[])[],
  what: 'kernel' | 'own',
): number {
  const others = new Set(
    all.flatMap((samples) => (samples === mine ? [] : samples.map((sample) => sample[what]))),
  );
  const last = mine.findLastIndex((sample) => others.has(sample[what]));
  return mine[last + 1]?.at ?? Number.POSITIVE_INFINITY;
}
